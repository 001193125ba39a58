"""What came of a run: the log, its check, the metrics derived from it, and the report."""
