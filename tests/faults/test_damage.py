"""The damage test finds what is served wrong, and a few damages of a real venue are found. `make damage-test N=…` does many."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from engine.records import EVENT_HEADER, ORDER_EVENT, EventHeader, OrderEvent
from tests.faults.damage import FILES, KINDS, NothingThere, files_of, lose, swap, turn_a_bit_of
from tests.faults.damage_aof import Value, commands, places
from tests.faults.damage_run import (
    IN_TURN,
    DamageRun,
    Outcome,
    Result,
    command,
    differences,
    judge,
    kind_of,
    line_of,
    on_terminal,
    table,
    verdict,
)
from tests.faults.damage_scenes import HOUR_S, Clock, Skipped
from tests.faults.damage_venue import Operator, View, look

SOUND, UNSOUND = "", "they do not balance"
SEED = 1


# -- what is judged

# what differs from the truth            reconciliation   the venue's word        outcome
JUDGED = [
    ({},                                            SOUND,   "",                Outcome.TRUTH),
    ({"ann, account": "100 BTC"},                   SOUND,   "",                Outcome.WRONG),
    ({"ann, account": "100 BTC"},                   UNSOUND, "",                Outcome.WRONG),
    ({"ann, account": "100 BTC"},                   SOUND,   "status: filling", Outcome.WRONG),
    ({"ann, account": None},                        SOUND,   "",                Outcome.WRONG),
    ({"bob, account": "1 BTC"},                     SOUND,   "",                Outcome.WRONG),
    ({"ann, account": "not served: -1001 error"},   SOUND,   "",                Outcome.SAID),
    ({"ledger, owner 1": "2 BTC"},                  SOUND,   "",                Outcome.WRONG),
    ({"ledger, owner 1": "2 BTC"},                  UNSOUND, "",                Outcome.RECONCILED),
    ({},                                            UNSOUND, "",                Outcome.RECONCILED),
    ({},                                            SOUND,   "status: down",    Outcome.SAID),
    ({"ann, exchange": "halted"},                   SOUND,   "status: down",    Outcome.SAID),
]  # fmt: skip


@pytest.mark.parametrize("changes, found, word, outcome", JUDGED, ids=str)
def test_what_is_served_otherwise_than_in_truth_is_wrong(
    changes: dict[str, str | None], found: str, word: str, outcome: Outcome
) -> None:
    shown = {"ann, account": "1 BTC", "ann, exchange": "trading", "ledger, owner 1": "1 BTC"}
    seen = {name: text for name, text in {**shown, **changes}.items() if text is not None}
    assert judge(View(shown), View(seen, found), word, ("exchange",) if word else ())[0] == outcome


def test_each_difference_is_named() -> None:
    truth = View({"a": "1", "b": "2", "c": "3", "d": "4"})
    assert differences(truth, View({"a": "1", "b": "not served: -1", "c": "4", "e": "5"})) == (
        ["c", "d", "e"],
        ["b"],
    )


# -- which damages


def test_consecutive_seeds_take_each_kind_once() -> None:
    names = [kind.name for kind in IN_TURN]
    assert len({*names}) > 70 and Counter(names) == Counter(kind_of(seed).name for seed in range(7, 7 + len(names)))


def test_each_group_comes_as_evenly_as_its_size_allows() -> None:
    half = Counter(kind.group for kind in IN_TURN[: len(IN_TURN) // 2])
    for group, count in Counter(kind.group for kind in IN_TURN).items():
        assert abs(half[group] - count / 2) <= 1, group


def test_what_no_name_fits_is_another_file(tmp_path: Path) -> None:
    """A file that a later version keeps in its data folder is damaged, too."""
    for name in ("secret.key", "watermark.json", "lock", "venue.json", "marker", "logs/up.log", "store/valkey.conf"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert [path.name for path in files_of(tmp_path, "another file of the folder")] == ["marker"]
    assert [path.name for path in files_of(tmp_path, "watermark")] == ["watermark.json"]
    with pytest.raises(NothingThere):
        files_of(tmp_path, "base of the log")
    assert all(name in {kind.name.partition(":")[0] for kind in KINDS} for name in FILES)


# -- where values are


def words(*texts: bytes) -> bytes:
    return b"*%d\r\n" % len(texts) + b"".join(b"$%d\r\n%s\r\n" % (len(text), text) for text in texts)


EVENT_ENTRY = EVENT_HEADER.pack(EventHeader(event_count=1)) + ORDER_EVENT.pack(OrderEvent(account=7, amount=9))
LOG = b"".join(
    [
        words(b"SELECT", b"0"),
        b"#TS:1700000000\r\n",
        words(b"HSET", b"{jibek}:ledger:balances", b"one", b"1111", b"two", b"2222"),
        words(b"XADD", b"{jibek}:events", b"1-1", b"h", b"H" * 32, b"d", b"D" * 32, b"b", EVENT_ENTRY),
        words(b"HSET", b"{jibek}:ledger:balances", b"one", b"3333"),
        words(b"SET", b"{jibek}:ledger:cursor", b"1-1 0 0 00"),
    ]
)


def test_the_values_of_a_log_are_found() -> None:
    found = places(LOG)
    texts = {
        value: sorted(LOG[place.value.start : place.value.end] for place in spans) for value, spans in found.items()
    }
    assert texts[Value.BALANCE] == [b"2222", b"3333"], "of a value that is written twice the last one"
    assert texts[Value.CURSOR] == [b"1-1 0 0 00"] and texts[Value.EVENTS] == [EVENT_ENTRY]
    assert texts[Value.EVENT_NUMBERS] == sorted([(7).to_bytes(4, "little"), (9).to_bytes(8, "little")])


@pytest.mark.parametrize("cut", [1, 5, 30, len(words(b"SET", b"{jibek}:ledger:cursor", b"1-1 0 0 00")) - 1])
def test_a_torn_command_is_left_out(cut: int) -> None:
    assert len(list(commands(LOG[:-cut]))) == 4 and len(list(commands(LOG))) == 5


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A data folder's log, with `LOG` in it."""
    path = tmp_path / "store" / "appendonlydir" / "appendonly.aof.1.incr.aof"
    path.parent.mkdir(parents=True)
    path.write_bytes(LOG)
    return path


def test_a_bit_of_a_value_is_turned_and_no_other(log: Path, tmp_path: Path) -> None:
    turn_a_bit_of(Value.CURSOR, tmp_path, random.Random(SEED))
    changed = [(old ^ new).bit_count() for old, new in zip(LOG, log.read_bytes(), strict=True) if old != new]
    assert changed == [1] and list(commands(LOG)) == list(commands(log.read_bytes()))


def test_two_values_are_swapped(log: Path, tmp_path: Path) -> None:
    swap(Value.BALANCE, tmp_path, random.Random(SEED))
    assert log.read_bytes() == LOG.replace(b"2222", b"x").replace(b"3333", b"2222").replace(b"x", b"3333")


def test_a_command_is_taken_out(log: Path, tmp_path: Path) -> None:
    lose(Value.CURSOR, tmp_path, random.Random(SEED))
    assert list(commands(log.read_bytes())) == list(commands(LOG))[:-1]


# -- what is said


def test_the_table_counts_and_names_who_has_found_what() -> None:
    results = [
        Result(1, "the ledger", "a bit", "byte 1", Outcome.REFUSED, "engine", "broken", 1.0),
        Result(2, "the ledger", "a bit", "byte 2", Outcome.REFUSED, "store", "broken", 3.0),
        Result(3, "the ledger", "a bit", "byte 3", Outcome.WRONG, "", "2 BTC", 9.0),
        Result(4, "clocks", "ahead", "", Outcome.SKIPPED, "", "no compiler"),
    ]
    assert table(results).splitlines()[2:] == [
        "| the ledger | 3 | 2 | 0 | 0 | 0 | 1 | engine 1, store 1 | 2.0 s | 3.0 s |",
        "| all | 3 | 2 | 0 | 0 | 0 | 1 | engine 1, store 1 | 2.0 s | 3.0 s |",
    ]
    assert line_of(1, 4, results[0]) == "1/4 seed 1, 1.0 s, a bit (byte 1): refused at start, engine: broken"
    assert command(3) == "make damage-test N=1 SEED=3"
    assert verdict(results).endswith(" Skipped: 1.\n1 of 3 damages led to a wrong answer.")
    title, *rows = on_terminal(table(results)).splitlines()
    assert {row.index("engine 1") for row in rows} == {title.rindex("found by")}


def test_a_process_sees_the_clock_that_was_set(tmp_path: Path) -> None:
    try:
        clock = Clock(tmp_path)
    except Skipped as skipped:
        pytest.skip(str(skipped))
    clock.set(HOUR_S)
    with clock.of_new_processes():
        done = subprocess.run(
            [sys.executable, "-c", "import time; print(time.time())"], capture_output=True, check=True
        )
    assert HOUR_S - 60 < float(done.stdout) - time.time() < HOUR_S + 60


# -- a real venue

TRIED = [
    (f"{Value.EVENT_NUMBERS}: one bit", Outcome.REFUSED),
    ("secret.key: end cut off", Outcome.REFUSED),
    ("directory.cache: one bit", Outcome.TRUTH),
]


def test_damages_of_a_real_venue(tmp_path: Path) -> None:
    damages = DamageRun(tmp_path)
    damages.build()
    with damages.running_copy() as venue:
        damages.see_truth(venue)
        # The venue is sound: from here on it serves another truth, which no check of its own can find.
        client = venue.store()
        Operator(venue.data, client).deposit(damages.clients[0].account, "BTC", "0.00000001")
        client.close()
        venue.wait_until_settled()
        outcome, _, text = judge(damages.truth, look(venue, damages.clients), "")
    assert outcome == Outcome.WRONG and text.startswith("ann, key 0, account")
    kinds = {kind.name: kind for kind in IN_TURN}
    for name, expected in TRIED:
        result = damages.try_kind(kinds[name], SEED)
        assert result.outcome == expected, result
