"""How each dataset of the catalogue is obtained: one file per dataset."""
