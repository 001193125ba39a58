"""Learning: tasks and their metrics, models, local training, updates and their admission, server optimizers."""
