"""From draws to modes, bounds and outcomes."""
