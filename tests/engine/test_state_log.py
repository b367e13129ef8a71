"""What the engine logs of halts: who and why, on one line, and nothing of ordinary entries."""

from __future__ import annotations

import logging

import pytest

from engine.journal import BEGINNING, GENESIS_HEAD, PublishedEntry
from engine.records import BatchBuilder, Command, CommandKind, EventEntry, MarketState
from engine.service.state_log import log_states
from tests.worlds.accounts import BY_TEST
from tests.worlds.gateway_in_process import GatewayInProcess

LOG = logging.getLogger("state log under test")


def logged(caplog: pytest.LogCaptureFixture, events: EventEntry) -> list[str]:
    caplog.clear()
    log_states(LOG, PublishedEntry(BEGINNING, GENESIS_HEAD, b"", events.data))
    return caplog.messages


@pytest.mark.parametrize("market", [0, 1])
def test_a_halt_and_its_end_are_logged_with_who_and_why(caplog: pytest.LogCaptureFixture, market: int) -> None:
    venue, builder = GatewayInProcess(), BatchBuilder()
    change = (b"aliya", b"clocks differ\nby 7 s", *BY_TEST[2:])
    for state in (MarketState.HALTED, MarketState.TRADING):
        command = Command(kind=CommandKind.MARKET_STATE_SET, market=market, state=state)
        builder.add(command, *change)
    what = "market 1" if market else "the venue"
    assert logged(caplog, venue.operate(builder)) == [
        f"entry 0-0: {what} is halted by aliya: clocks differ\nby 7 s",
        f"entry 0-0: {what} is resumed by aliya: clocks differ\nby 7 s",
    ]


def test_what_is_no_halt_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    venue, builder = GatewayInProcess(), BatchBuilder()
    builder.add(Command(kind=CommandKind.TIME_TICK))
    assert logged(caplog, venue.operate(builder)) == []
