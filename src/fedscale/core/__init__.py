"""What users subclass: `Client`, `ClientManager`, `Aggregator`, with the six hooks of the paper's Table 3."""
