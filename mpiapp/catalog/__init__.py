"""Counts, matrices and the work that they make: nouns only, pure numpy."""
