"""Sessions, keys, signatures, rate limits and sealed secrets."""
