"""The programs of an emulated device: what its shell can run."""
