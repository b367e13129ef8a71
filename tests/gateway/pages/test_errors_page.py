from __future__ import annotations

import pytest

from engine.reasons import Reason
from gateway.pages.errors_page import PAGE, meaning_and_advice, page


def test_the_page_is_current() -> None:
    assert PAGE.read_text() == page(), "run python -m gateway.pages.errors_page"


@pytest.mark.parametrize("reason", [reason for reason in Reason if reason], ids=lambda reason: reason.name)
def test_each_reason_stands_on_the_page_with_what_to_do(reason: Reason) -> None:
    meaning, advice = meaning_and_advice(reason)
    assert meaning.endswith(".")
    assert advice.endswith(".")
    assert page().count(f"| {int(reason)} | `{reason.name}` |") == 1
