"""Reading PTB-XL, augmenting it, and training on it."""
