"""Federated datasets: what one is, how it is stored, split and obtained."""
