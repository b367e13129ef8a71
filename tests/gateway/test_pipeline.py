from __future__ import annotations

import pytest

from engine.records import (
    BATCH_COMMANDS_MAX,
    COMMAND,
    Command,
    CommandKind,
    Disposition,
    EventHeader,
    pack_parts,
    parse_batch,
    unpack_parts,
)
from gateway.accounts import Account
from gateway.pipeline import ANSWER_TIMEOUT_S, COMMANDS_PER_SESSION_MAX, Ask, Pipeline, Superseded
from gateway.refusals import Refusal
from gateway.sessions import Session, Usage

ACCOUNT = Account(1)


class Bench:
    """A pipeline, one session, and what was refused."""

    def __init__(self) -> None:
        self.refused: list[tuple[str, str]] = []
        self.session = Session(lambda frame: None, Usage())
        self.pipeline = Pipeline(16, 3, self._refuse)

    def _refuse(self, ask: Ask, refusal: Refusal) -> None:
        self.refused.append((ask.id_text, refusal.reason.name))

    def add(self, id: object, *, cancel: bool = False, blob: bytes = b"", expires_ms: int = 0, now_s: float = 0.0) -> Refusal | None:  # fmt: skip
        kind = CommandKind.ORDER_CANCEL if cancel else CommandKind.ORDER_PLACE
        command = COMMAND.pack(Command(kind=kind, account=1, client_id=str(id).encode()))
        ask = Ask(self.session, ACCOUNT, str(id), command, "ACK", True, expires_ms, cancel, blob)
        return self.pipeline.add(ask, now_s)

    def ids(self, data: bytes) -> list[str]:
        _, commands, _ = parse_batch(data)
        return [command.client_id.rstrip(b"\0").decode() for command in commands]

    def answered(self, number: int, boot: int = 3, disposition: Disposition = Disposition.EXECUTED) -> object:
        return self.pipeline.answered(
            EventHeader(producer=16, incarnation=boot, number=number, disposition=disposition)
        )


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
    bench.pipeline.confirmed()
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
        bench.pipeline.confirmed()
    assert sizes == [BATCH_COMMANDS_MAX, 1]


def test_a_batch_of_unknown_fate_is_sent_again_byte_for_byte(bench: Bench) -> None:
    bench.add("a")
    batch = bench.pipeline.next_batch(0.0, 0)
    assert batch is not None
    data = batch.data
    bench.add("b")
    bench.pipeline.lost()
    again = bench.pipeline.resend()
    assert again is batch
    assert again.data == data
    assert bench.answered(1) is batch
    assert bench.answered(1, disposition=Disposition.DUPLICATE) is None
    assert bench.pipeline.resend() is None


def test_events_may_come_before_the_confirmation(bench: Bench) -> None:
    bench.add("a")
    batch = bench.pipeline.next_batch(0.0, 0)
    assert bench.answered(1) is batch
    bench.pipeline.confirmed()
    bench.add("b")
    assert bench.pipeline.next_batch(0.0, 0) is not None


def test_a_full_store_refuses_orders_and_takes_cancels_under_the_same_number(bench: Bench) -> None:
    bench.add("a")
    bench.add("b", cancel=True)
    bench.pipeline.next_batch(0.0, 0)
    batch = bench.pipeline.store_full(0.0)
    assert batch is not None
    assert (batch.number, batch.reduces, bench.ids(batch.data)) == (1, True, ["b"])
    assert bench.refused == [("a", "OVERLOADED")]
    bench.pipeline.confirmed()
    bench.add("c")
    bench.pipeline.next_batch(0.0, 0)
    assert bench.pipeline.store_full(0.0) is None
    bench.add("d", cancel=True)
    batch = bench.pipeline.next_batch(0.0, 0)
    assert batch is not None
    assert (batch.number, batch.reduces) == (2, True)


def test_a_full_store_does_not_take_an_uncertain_batch_apart(bench: Bench) -> None:
    bench.add("a")
    bench.add("b", cancel=True)
    first = bench.pipeline.next_batch(0.0, 0)
    assert first is not None
    bench.pipeline.lost()
    again = bench.pipeline.store_full(0.0)
    assert again is first
    assert again.reduces
    assert bench.refused == []


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
    bench.pipeline.confirmed()
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


@pytest.mark.parametrize(("boot", "disposition"), [(4, Disposition.EXECUTED), (3, Disposition.STALE)])
def test_another_process_under_this_number_ends_this_one(bench: Bench, boot: int, disposition: Disposition) -> None:
    with pytest.raises(Superseded, match="gateway 16"):
        bench.answered(1, boot, disposition)


def test_the_events_of_others_are_theirs(bench: Bench) -> None:
    bench.add("a")
    bench.pipeline.next_batch(0.0, 0)
    assert bench.pipeline.answered(EventHeader(producer=17, incarnation=9, number=1)) is None
    assert bench.answered(1, boot=2) is None
