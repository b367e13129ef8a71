from __future__ import annotations

import pytest

from engine.reasons import Reason
from gateway.dialect.rejects import WORDINGS, Reject, wording

BOOK_ONLY = {Reason.ORDER_ID_IN_USE}
"""What only the book as a library refuses: order ids come from the engine here."""
REACH_CLIENTS = [reason for reason in Reason if (400 <= reason < 600 or reason >= 700) and reason not in BOOK_ONLY]


@pytest.mark.parametrize("reason", REACH_CLIENTS, ids=lambda reason: reason.name)
def test_each_reason_that_a_client_can_meet_has_its_words(reason: Reason) -> None:
    status, code, message = WORDINGS[reason]
    assert 400 <= status < 600
    assert code < -999 or code == 2
    assert message


def test_engine_refusals_of_a_cancel_have_the_code_of_cancels() -> None:
    assert wording(Reject(Reason.ACCOUNT_FROZEN)).code == -2010
    assert wording(Reject(Reason.ACCOUNT_FROZEN), cancelling=True).code == -2011
    assert wording(Reject(Reason.OVERLOADED), cancelling=True).code == -1008


def test_a_detail_cannot_change_the_message() -> None:
    assert wording(Reject(Reason.UNKNOWN_METHOD, ("{0}{x}",))).message == "This operation is not supported: {0}{x}."


def test_a_reason_without_words_is_an_unknown_error() -> None:
    assert wording(Reject(Reason.KEY_EXISTS)).code == -1000
