"""The virtual-time driver: real training, simulated clients, no waiting."""
