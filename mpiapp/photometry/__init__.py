"""From problems to rows: batches, the first attempt, the ladder, rules.  Knows no MPI."""
