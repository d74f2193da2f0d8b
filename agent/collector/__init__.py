"""Self-hosted ingest with the wire contract of Amplitude Session Replay, and the viewer over what it holds."""
