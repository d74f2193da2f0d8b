"""Processes killed at random instants, at length."""
