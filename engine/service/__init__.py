"""The engine's process: `python -m engine.service`."""
