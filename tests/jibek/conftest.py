"""Fixtures of the ledger's tests, for the commands that inspect a ledger."""

from tests.ledger.conftest import client, server, venue

__all__ = ["client", "server", "venue"]
