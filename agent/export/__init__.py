"""Recordings in forms that other programs open: an event list, a video, a page in one file."""
