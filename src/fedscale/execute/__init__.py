"""Executors: the pure map of training and testing over a cohort, in this process or in worker processes."""
