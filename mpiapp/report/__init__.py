"""What happened in a job: tables and figures made from results files."""
