"""Venues for tests: a store, a gateway in this process, a venue in processes, a scene with faults."""
