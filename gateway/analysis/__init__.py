"""One recording answered: the straight way, and what spares repeating it."""
