"""The leak test at length: `scripts/leaks`."""
