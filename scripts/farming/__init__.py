"""A farm under stress: hosts are killed and phones unplugged while jobs run."""
