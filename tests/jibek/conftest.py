"""The ledger's venue, for the commands that inspect a ledger."""

from tests.ledger.conftest import venue

__all__ = ["venue"]
