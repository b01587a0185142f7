"""The gateway's API over HTTP: the same calls through the same door, as JSON."""
