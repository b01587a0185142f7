"""The workshop: train, calibrate, export, validate and publish the models that the mesh serves.

Nothing here is imported by a service. It reads PTB-XL, writes ``runs/`` while it works, and publishes versions
into ``model_repository/``.
"""
