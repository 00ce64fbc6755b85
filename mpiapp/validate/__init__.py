"""The memo's studies, simulated samples with their truth, and the real catalog's own numbers."""
