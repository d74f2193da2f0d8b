"""The web viewer over a recording: a static page and the few routes that feed it."""
