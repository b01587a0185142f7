"""The ``cardiomesh`` command."""
