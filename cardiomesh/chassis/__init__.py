"""How a service lives: settings, server, health, drain, deadlines, errors, telemetry. Every service, the same way."""
