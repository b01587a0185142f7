"""Writing versions into the model repository."""
