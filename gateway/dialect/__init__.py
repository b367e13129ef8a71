"""The names, numbers and codes of the wire: requests in, replies out."""
