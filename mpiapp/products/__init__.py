"""From posteriors to a catalog: what pipelines and astronomers take from a results file."""
