"""The Segment relay: an app's settings and batches pass through this host, and nothing is lost on the way."""
