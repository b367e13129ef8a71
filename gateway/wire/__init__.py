"""Bytes and WebSocket frames: knows no order and no JSON."""
