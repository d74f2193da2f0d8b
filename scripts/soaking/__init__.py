"""Many phones for hours: `scripts/soak`."""
