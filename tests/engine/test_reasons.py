"""Every reason has a number of its own, in the family where a reader looks for it, and a text."""

from __future__ import annotations

import pytest

from engine.reasons import Reason


def test_no_number_is_used_twice() -> None:
    """An IntEnum takes a number that is used twice as another name of the first."""
    assert [name for name, member in Reason.__members__.items() if member.name != name] == []


def test_the_numbers_fit_the_field_of_an_event_and_its_families() -> None:
    assert {reason // 100 for reason in Reason if reason} == set(range(1, 8))
    assert max(Reason) < 1 << 16


def test_a_family_is_in_one_piece() -> None:
    families = [reason // 100 for reason in Reason]
    assert families == sorted(families)


@pytest.mark.parametrize("reason", Reason, ids=lambda reason: reason.name)
def test_a_text_is_one_line_of_whole_sentences(reason: Reason) -> None:
    assert reason.text.endswith("."), reason.text
    assert reason.text == " ".join(reason.text.split()), reason.text
