"""Clients of a venue, which know it only by its URLs."""
