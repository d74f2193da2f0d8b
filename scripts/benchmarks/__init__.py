"""Benchmarks of the project, each beside a named peer. Run by `scripts/bench`."""
