"""The fault table at length: `scripts/faults`."""
