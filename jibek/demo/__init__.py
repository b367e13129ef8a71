"""The demonstration: traders and their view."""
