"""Alembic's scripts, run by ``gateway.store.maintenance.migrate``."""
