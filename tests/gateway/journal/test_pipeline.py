from __future__ import annotations

import pytest

from engine.journal import BEGINNING, ChainBroken, EntryId, Mark, Opening
from engine.records import (
    BATCH_COMMANDS_MAX,
    COMMAND,
    Command,
    CommandKind,
    Disposition,
    EventHeader,
    is_sealed,
    pack_parts,
    parse_batch,
    unpack_parts,
)
from gateway.dialect.rejects import Reject, Rejected
from gateway.journal.pending import PendingCommand
from gateway.journal.pipeline import Batch, Pipeline, Superseded
from gateway.limits import PipelineLimits
from gateway.view.accounts import Account
from tests.worlds.sessions import silent_session

ANSWER_TIMEOUT_S, COMMANDS_PER_SESSION_MAX = (
    PipelineLimits().answer_timeout_s,
    PipelineLimits().commands_per_session_max,
)

ACCOUNT = Account(1)


class Bench:
    """A pipeline, one session, and what was refused."""

    def __init__(self) -> None:
        self.refused: list[tuple[str, str]] = []
        self.session = silent_session()
        self.pipeline = Pipeline(16, self._refuse)
        self.pipeline.opened(Opening(3, 0, 0, BEGINNING))

    def _refuse(self, command: PendingCommand, reject: Reject) -> None:
        self.refused.append((command.id_text, reject.reason.name))

    def add(
        self,
        id: object,
        *,
        cancel: bool = False,
        blob: bytes = b"",
        expires_ms: int = 0,
        now_s: float = 0.0,
        method: str = "",
    ) -> Reject | None:
        """Adds a command; with a `method`, one that was accepted for it by its own signature."""
        kind = CommandKind.ORDER_CANCEL if cancel else CommandKind.ORDER_PLACE
        command = COMMAND.pack(Command(kind=kind, account=1, client_id=str(id).encode()))
        pending = PendingCommand(
            self.session, ACCOUNT, str(id), command, "ACK", True, expires_ms=expires_ms, reduces=cancel, blob=blob,
            mark=Mark("key", str(id), method, 1) if method else None,
        )  # fmt: skip
        pending.passes_full_store = cancel
        try:
            self.pipeline.add(pending, now_s)
        except Rejected as rejected:
            return rejected.reject
        return None

    def ids(self, data: bytes) -> list[str]:
        _, commands, _ = parse_batch(data)
        return [command.client_id.rstrip(b"\0").decode() for command in commands]

    def next(self) -> Batch:
        batch = self.pipeline.next_batch(0.0, 0)
        assert batch is not None
        return batch

    def opened(
        self, incarnation: int, old_incarnation: int = 3, last_number: int = 0, last_id: EntryId = BEGINNING
    ) -> None:
        self.pipeline.opened(Opening(incarnation, old_incarnation, last_number, last_id))

    def answered(
        self, number: int, incarnation: int = 3, disposition: Disposition = Disposition.EXECUTED
    ) -> Batch | None:
        header = EventHeader(producer=16, incarnation=incarnation, number=number, disposition=disposition)
        return self.pipeline.answered(header)


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_what_gathers_while_a_batch_is_unconfirmed_goes_into_the_next(bench: Bench) -> None:
    bench.add("a")
    first = bench.pipeline.next_batch(0.0, 0)
    assert first is not None
    bench.add("b")
    bench.add("c", cancel=True)
    assert bench.pipeline.next_batch(0.0, 0) is None
    bench.pipeline.confirmed(EntryId(1, 1))
    second = bench.pipeline.next_batch(0.0, 0)
    assert second is not None
    assert [first.number, second.number] == [1, 2]
    assert bench.ids(second.data) == ["b", "c"]
    assert not second.reduces


def test_a_batch_is_what_the_records_say(bench: Bench) -> None:
    bench.add("a", blob=pack_parts(b"first"))
    bench.add("b")
    bench.add("c", blob=pack_parts(b"second"))
    batch = bench.pipeline.next_batch(0.0, 0)
    assert batch is not None
    assert is_sealed(batch.data)
    header, commands, blobs = parse_batch(batch.data)
    assert (header.producer, header.incarnation, header.number, header.command_count) == (16, 3, 1, 3)
    parts = [unpack_parts(blobs[command.blob_offset :][: command.blob_length]) for command in commands]
    assert parts == [[b"first"], [], [b"second"]]


def test_a_turn_of_many_commands_makes_several_batches(bench: Bench) -> None:
    for id in range(BATCH_COMMANDS_MAX + 1):
        bench.add(id)
    sizes = []
    while (batch := bench.pipeline.next_batch(0.0, 0)) is not None:
        sizes.append(len(bench.ids(batch.data)))
        bench.pipeline.confirmed(EntryId(1, 2))
    assert sizes == [BATCH_COMMANDS_MAX, 1]


def test_copies_are_taken_out_of_a_batch_and_the_rest_leaves_under_its_number(bench: Bench) -> None:
    bench.add("a")
    for id, method in (("b", "order.place"), ("c", "order.cancel"), ("d", "order.place")):
        bench.add(id, method=method, cancel=method == "order.cancel")
    bench.add("e", blob=pack_parts(b"last"), cancel=True)
    batch = bench.next()
    assert [mark.name for mark in batch.marks()] == ["b", "c", "d"]
    rest = bench.pipeline.signatures_used([0, 1], 0.0)
    assert rest is not None
    assert (rest.number, bench.ids(rest.data), [mark.name for mark in rest.marks()]) == (1, ["a", "d", "e"], ["d"])
    assert not rest.reduces
    assert bench.refused == [("b", "REPLAYED_REQUEST"), ("c", "SIGNATURE_USED")]
    assert bench.answered(1) is rest
    assert bench.pipeline.open_commands == 3


def test_a_batch_of_copies_alone_leaves_its_number_to_the_next(bench: Bench) -> None:
    bench.add("a", method="order.place")
    bench.next()
    assert bench.pipeline.signatures_used([0], 0.0) is None
    bench.add("b")
    batch = bench.next()
    assert (batch.number, bench.ids(batch.data), batch.marks()) == (1, ["b"], [])


def test_copies_that_were_answered_as_unknown_are_not_answered_again(bench: Bench) -> None:
    bench.add("a", method="order.place")
    bench.next()
    bench.pipeline.expire(ANSWER_TIMEOUT_S)
    assert bench.refused == [("a", "OUTCOME_UNKNOWN")]
    assert bench.pipeline.signatures_used([0], ANSWER_TIMEOUT_S) is None
    assert bench.refused == [("a", "OUTCOME_UNKNOWN")]


def test_a_lost_batch_that_is_in_is_waited_for(bench: Bench) -> None:
    bench.add("a")
    batch = bench.next()
    bench.add("b")
    bench.pipeline.lost()
    assert bench.pipeline.next_batch(0.0, 0) is None, "nothing leaves before the gateway has opened anew"
    bench.opened(4, last_number=1, last_id=EntryId(1, 1))
    again = bench.next()
    assert (again.incarnation, again.number, bench.ids(again.data)) == (4, 1, ["b"])
    assert bench.answered(1) is batch, "under its old incarnation"
    assert bench.answered(1, incarnation=4) is again
    assert bench.refused == []


def test_a_lost_batch_that_is_not_in_leaves_under_the_new_incarnation(bench: Bench) -> None:
    for id in ("a", "b", "late"):
        bench.add(id, expires_ms=99 if id == "late" else 0)
    bench.next()
    bench.add("c")
    bench.pipeline.lost()
    bench.opened(4)
    batch = bench.pipeline.next_batch(0.0, 100)
    assert batch is not None
    assert (batch.incarnation, batch.number, bench.ids(batch.data)) == (4, 1, ["a", "b", "c"]), "in their order"
    assert bench.refused == [("late", "OUTSIDE_WINDOW")], "judged again"
    assert bench.answered(1) is None
    assert bench.answered(1, incarnation=4) is batch


def test_what_was_told_to_be_unknown_does_not_leave_again(bench: Bench) -> None:
    bench.add("a", now_s=0.0)
    bench.next()
    bench.add("b", now_s=5.0)
    bench.pipeline.lost()
    bench.pipeline.expire(ANSWER_TIMEOUT_S)
    assert bench.refused == [("a", "OUTCOME_UNKNOWN")]
    bench.opened(4)
    assert bench.ids(bench.next().data) == ["b"]


@pytest.mark.parametrize("is_in", [False, True])
def test_the_answer_to_an_opening_may_be_lost_too(bench: Bench, is_in: bool) -> None:
    bench.add("a")
    bench.next()
    bench.pipeline.confirmed(EntryId(1, 7))
    bench.add("b")
    batch = bench.next()
    bench.pipeline.lost()
    last_id = EntryId(1, 9) if is_in else EntryId(1, 7)
    # Incarnation 4 was drawn, but its answer was lost.
    bench.opened(5, old_incarnation=4, last_number=0, last_id=last_id)
    if is_in:
        assert bench.pipeline.next_batch(0.0, 0) is None
        assert bench.answered(2) is batch
    else:
        assert bench.ids(bench.next().data) == ["b"]


def test_a_batch_whose_events_came_before_the_connection_was_lost(bench: Bench) -> None:
    bench.add("a")
    batch = bench.next()
    assert bench.answered(1) is batch
    bench.pipeline.lost()
    bench.opened(5, old_incarnation=4, last_number=0, last_id=EntryId(1, 1))
    assert bench.pipeline.next_batch(0.0, 0) is None


@pytest.mark.parametrize(
    ("old_incarnation", "last_number", "last_id", "failure"),
    [
        (3, 0, "1-7", ChainBroken),
        (3, 1, "1-6", ChainBroken),
        (2, 1, "1-7", ChainBroken),
        (0, 0, "0-0", ChainBroken),
        (4, 1, "1-8", Superseded),
    ],
    ids=["the number", "the place", "the incarnation", "all", "another process"],
)
def test_a_store_that_does_not_know_what_it_confirmed_ends_the_process(
    bench: Bench, old_incarnation: int, last_number: int, last_id: str, failure: type[Exception]
) -> None:
    bench.add("a")
    bench.next()
    bench.pipeline.confirmed(EntryId(1, 7))
    bench.pipeline.lost()
    with pytest.raises(failure):
        bench.opened(5, old_incarnation, last_number, EntryId.parse(last_id))


def test_a_refusal_as_stale(bench: Bench) -> None:
    bench.pipeline.lost()
    bench.opened(6)
    for incarnation in (0, 3, 5, 6):
        bench.pipeline.refused_as_stale(incarnation)
    with pytest.raises(Superseded, match="gateway 16"):
        bench.pipeline.refused_as_stale(7)


def test_a_full_store_refuses_orders_and_takes_cancels_under_the_same_number(bench: Bench) -> None:
    bench.add("a")
    bench.add("b", cancel=True)
    bench.pipeline.next_batch(0.0, 0)
    batch = bench.pipeline.store_full(0.0)
    assert batch is not None
    assert (batch.number, batch.reduces, bench.ids(batch.data)) == (1, True, ["b"])
    assert bench.refused == [("a", "OVERLOADED")]
    bench.pipeline.confirmed(EntryId(1, 3))
    bench.add("c")
    bench.pipeline.next_batch(0.0, 0)
    assert bench.pipeline.store_full(0.0) is None
    bench.add("d", cancel=True)
    batch = bench.pipeline.next_batch(0.0, 0)
    assert batch is not None
    assert (batch.number, batch.reduces) == (2, False)


def test_where_even_the_reserve_is_used_up_all_are_refused_and_the_number_is_free(bench: Bench) -> None:
    bench.add("a", cancel=True)
    bench.next()
    assert bench.pipeline.store_full(0.0) is not None
    assert bench.pipeline.store_full(0.0) is None
    assert bench.refused == [("a", "OVERLOADED")]
    bench.add("b")
    assert bench.next().number == 1


def test_who_waits_too_long_is_told_once(bench: Bench) -> None:
    bench.add("sent", now_s=1.0)
    bench.pipeline.next_batch(1.0, 0)
    bench.add("queued", now_s=2.0)
    bench.pipeline.expire(1.0 + ANSWER_TIMEOUT_S)
    assert bench.refused == [("sent", "OUTCOME_UNKNOWN")]
    bench.pipeline.expire(2.0 + ANSWER_TIMEOUT_S)
    bench.pipeline.expire(3.0 + ANSWER_TIMEOUT_S)
    assert bench.refused == [("sent", "OUTCOME_UNKNOWN"), ("queued", "OVERLOADED")]
    assert bench.pipeline.open_commands == bench.session.waiting == 0


def test_a_silent_engine_gets_no_more_orders_but_cancels(bench: Bench) -> None:
    bench.add("a")
    bench.pipeline.next_batch(0.0, 0)
    bench.pipeline.confirmed(EntryId(1, 4))
    bench.pipeline.expire(ANSWER_TIMEOUT_S)
    assert bench.add("b") is not None
    assert bench.add("c", cancel=True) is None
    bench.answered(1)
    assert bench.add("d") is None


def test_a_session_has_a_bound_of_its_own(bench: Bench) -> None:
    for id in range(COMMANDS_PER_SESSION_MAX):
        assert bench.add(id) is None
    refusal = bench.add("one more")
    assert refusal is not None
    assert refusal.reason.name == "OVERLOADED"


def test_a_request_whose_window_ended_in_the_queue_does_not_leave(bench: Bench) -> None:
    bench.add("old", expires_ms=99)
    bench.add("good", expires_ms=100)
    batch = bench.pipeline.next_batch(0.0, 100)
    assert batch is not None
    assert bench.ids(batch.data) == ["good"]
    assert bench.refused == [("old", "OUTSIDE_WINDOW")]


@pytest.mark.parametrize(("incarnation", "disposition"), [(4, Disposition.EXECUTED), (3, Disposition.STALE)])
def test_another_process_under_this_number_ends_this_one(
    bench: Bench, incarnation: int, disposition: Disposition
) -> None:
    with pytest.raises(Superseded, match="gateway 16"):
        bench.answered(1, incarnation, disposition)


def test_the_events_of_others_are_theirs(bench: Bench) -> None:
    bench.add("a")
    bench.next()
    assert bench.pipeline.answered(EventHeader(producer=17, incarnation=9, number=1)) is None
    assert bench.answered(1, incarnation=2) is None


def test_entries_of_an_earlier_process_may_come_before_the_first_opening(bench: Bench) -> None:
    pipeline = Pipeline(16, bench._refuse)
    assert pipeline.answered(EventHeader(producer=16, incarnation=8, number=1)) is None
    pipeline.opened(Opening(9, 8, 1, EntryId(1, 1)))
    assert pipeline.answered(EventHeader(producer=16, incarnation=8, number=1)) is None
