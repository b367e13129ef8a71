"""Which reasons the tests provoke, so that a reason that nobody provokes is found."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from engine.reasons import Reason

Test = TypeVar("Test", bound=Callable[..., None])

PROVOKED: dict[Reason, set[str]] = {}
"""Reason -> the tests that provoke it."""


def provokes(*reasons: Reason) -> Callable[[Test], Test]:
    """Says of a test that it provokes these reasons over the wire, or through the journal."""

    def note(test: Test) -> Test:
        for reason in reasons:
            PROVOKED.setdefault(reason, set()).add(test.__name__)
        return test

    return note
