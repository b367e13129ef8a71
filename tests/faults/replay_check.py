"""The journal once more, through the reference engine: every invariant of book and money, every byte of the events."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from engine.journal import EntryId
from engine.records import STATE_REPORT, EventEntry, EventKind, StateReport
from engine.reference import Core
from tests.faults.history import History, Pair

ENTRIES_PER_CHECK = 25
"""`Core.check` walks the whole state; after so many entries, and at the end."""


class ReplayCheck:
    """A reference engine that has executed the whole journal. `faults` lists where it differs from the events.

    Args:
        states: state hashes that live engines reported, by the entry after which it had that state.
    """

    def __init__(self, pairs: Iterable[Pair], states: Mapping[EntryId, str]) -> None:
        self.core = Core()
        self.faults: list[str] = []
        self.events = 0
        self.states_compared = 0
        self.reports: dict[EntryId, StateReport] = {}
        """What this engine answers to each STATE_REPORT."""
        for number, (entry, published) in enumerate(pairs, start=1):
            data = self.core.execute(entry.time_us, entry.batch)
            if data != published.data:
                self.faults.append(f"the events of {entry.id} are not those that the reference engine gives")
            self._take(entry.id, EventEntry(data))
            if entry.id in states:
                self._compare_state(entry.id, states[entry.id])
            if number % ENTRIES_PER_CHECK == 0:
                self._check(entry.id)
        self._check(entry.id)

    def compare_with(self, history: History) -> None:
        """The engine's open orders and balances are those that the events add up to."""
        orders, accounts = self.core.exchange.orders, self.core.exchange.accounts
        open_orders = {id for account in accounts for id in history.open_orders(account)}
        if open_orders != orders.keys():
            self.faults.append(f"open orders differ: {sorted(open_orders ^ orders.keys())[:10]}")
        for order in orders.values():
            state = history.orders[order.id].state
            if (state.executed_lots, state.executed_quote) != (order.cumulative_lots, order.cumulative_quote):
                self.faults.append(f"order {order.id} in the book is not the one in the events")
        balances = {(account, asset): amounts for account, asset, *amounts in self.core.balances()}
        keys = history.available.keys() | history.held.keys()
        summed = {key: [history.available[key], history.held[key]] for key in keys}
        if balances != {key: amounts for key, amounts in summed.items() if any(amounts)}:
            self.faults.append("the engine's balances are not those that the events add up to")

    def _take(self, id: EntryId, entry: EventEntry) -> None:
        self.events += len(entry)
        for event in entry:
            if event.kind == EventKind.STATE_REPORTED:
                self.reports[id] = STATE_REPORT.unpack_from(entry.parts(event)[0])

    def _compare_state(self, id: EntryId, reported: str) -> None:
        self.states_compared += 1
        if self.core.state_hash().hex() != reported:
            self.faults.append(f"the state of an engine that started at {id} was not that of the reference engine")

    def _check(self, id: EntryId) -> None:
        try:
            self.core.check()
        except AssertionError as error:
            self.faults.append(f"at {id} an invariant does not hold: {error}")
