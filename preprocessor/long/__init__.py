"""Recordings of any length, read and prepared window by window in constant memory."""
