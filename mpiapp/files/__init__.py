"""Inputs and results on disk: prep3, mst3, flat tables, and the results file."""
