"""The parts of the mesh behind the gateway, and what is done when one does not answer."""
