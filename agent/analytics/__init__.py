"""From log entries to Segment events with proven ids. Pure."""
