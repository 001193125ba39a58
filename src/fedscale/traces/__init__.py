"""Devices and availability: tables as columns, readers of published formats, the built-in population (§3.2)."""
