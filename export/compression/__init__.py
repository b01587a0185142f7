"""Smaller and faster forms of a trained network: structured pruning and INT8, each compared with its parent."""
