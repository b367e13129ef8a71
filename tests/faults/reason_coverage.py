"""Which reasons the tests provoke. `test_bad_input` fails when no test covers a reason."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from engine.reasons import Reason

Test = TypeVar("Test", bound=Callable[..., None])

COVERED: dict[Reason, set[str]] = {}
"""Reason to the tests that provoke it."""


def covers(*reasons: Reason) -> Callable[[Test], Test]:
    """Marks a test that provokes these reasons, over the wire or through the journal."""

    def note(test: Test) -> Test:
        for reason in reasons:
            COVERED.setdefault(reason, set()).add(test.__name__)
        return test

    return note
