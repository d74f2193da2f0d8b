"""Recordings on disk: the schema and the folder."""
