"""Measurements of speed; ``make bench`` runs them all and prints one table."""
