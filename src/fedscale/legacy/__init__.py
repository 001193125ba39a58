"""What users of the original FedScale (github.com/SymbioticLab/FedScale) have on disk, read as it is."""
