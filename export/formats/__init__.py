"""File formats of published networks."""
