"""The slow lane: preparing what nobody waits for at a bedside, in a process that stands back from all others."""
