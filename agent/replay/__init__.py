"""From snapshots to masked, encoded replay segments. Pure."""
