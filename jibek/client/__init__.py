"""Clients that trade over WebSockets."""
