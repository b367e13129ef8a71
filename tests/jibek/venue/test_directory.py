"""The directory and its cache: the same answer with it, without it, and when it is damaged or of another venue."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.journal import BEGINNING, ChainBroken, EntryId, Store, StoreSource, read_events
from engine.process.watermarks import write_watermark
from engine.records import KeyType
from jibek.console.operator import system_user
from jibek.venue.directory import Directory, defines_something, read_directory
from jibek.venue.directory_cache import CACHE_FILE, DirectoryCache
from tests.worlds.venue import VenueProcess

RECORD_BYTES = 68
"""Of a record of the cache, without its event entry."""


@pytest.fixture
def client(running_venue: VenueProcess) -> Iterator[Store]:
    client = running_venue.store()
    yield client
    client.close()


def content(directory: Directory) -> object:
    return directory.cursor, directory.head, directory.listing, directory.accounts


def test_it_knows_what_was_defined(running_venue: VenueProcess, client: Store, tmp_path: Path) -> None:
    running_venue.json("account", "create", "dina", "--who", "aigerim", "--why", "because")
    key = running_venue.json("account", "key", "dina", "--type", "hmac")["key"]
    running_venue.json("account", "freeze", "dina")
    directory = read_directory(client, tmp_path)
    dina = directory.account_by_name["dina"]
    assert (dina.operator, dina.why, dina.is_frozen) == ("aigerim", "because", True)
    assert dina.system_user == system_user()
    assert (dina.keys[key].type, dina.keys[key].is_revoked) == (KeyType.HMAC_SHA256, False)
    assert list(directory.listing.market_by_symbol) == ["BTCKZT", "ETHKZT", "USDTKZT", "BTCUSDT"]


def test_with_the_cache_it_reads_only_what_is_new(
    running_venue: VenueProcess, client: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = read_directory(client, tmp_path)
    running_venue.json("account", "create", "late")
    asked: list[object] = []
    read_events = read_directory.__globals__["read_events"]

    def read_and_note(client: Store, cursor: EntryId, **options: Any) -> Any:
        asked.append(cursor)
        return read_events(client, cursor, **options)

    monkeypatch.setitem(read_directory.__globals__, "read_events", read_and_note)
    second = read_directory(client, tmp_path)
    assert asked[0] == first.cursor
    assert content(second) == content(read_directory(client, tmp_path / ".."))
    assert "late" in second.account_by_name


def test_a_cache_of_which_any_part_was_changed_is_thrown_away(client: Store, tmp_path: Path) -> None:
    right = content(read_directory(client, tmp_path))
    cache = tmp_path / CACHE_FILE
    data = cache.read_bytes()
    record_bytes = RECORD_BYTES + int.from_bytes(data[48:52], "little")
    assert len(data) > record_bytes, "there are two records"
    bits = [
        (place, 1 << place % 8) for place in (0, 8, 16, 47, 48, 51, 52, record_bytes - 1, record_bytes, len(data) - 1)
    ]
    damaged = {
        f"bit {bit:02x} of byte {place}": data[:place] + bytes([data[place] ^ bit]) + data[place + 1 :]
        for place, bit in bits
    }
    damaged |= {
        "an end cut off": data[:-1],
        "a record cut off": data[record_bytes:],
        "something added": data + b"garbage",
        "everything twice": data * 2,
        "two records that have changed places": data[record_bytes:] + data[:record_bytes],
    }
    for what, changed in damaged.items():
        cache.write_bytes(changed)
        assert content(read_directory(client, tmp_path)) == right, what
        assert cache.read_bytes() == data, what


def test_of_two_commands_at_once_one_adds_to_the_cache(client: Store, tmp_path: Path) -> None:
    caches = [DirectoryCache(tmp_path, defines_something) for _ in range(2)]
    entries = read_events(client, BEGINNING, count=3)
    assert [list(cache.read()) for cache in caches] == [[], []]
    for cache in caches:
        cache.append(entries[:2])
    caches[0].append(entries[2:])
    assert [entry.id for entry in DirectoryCache(tmp_path, defines_something).read()] == [
        entry.id for entry in entries if defines_something(entry.data) or entry is entries[-1]
    ]


def test_the_cache_of_another_venue_is_thrown_away(client: Store, tmp_path: Path) -> None:
    right = content(read_directory(client, tmp_path))
    (tmp_path / CACHE_FILE).unlink()
    [entry] = read_events(client, BEGINNING, count=1)
    DirectoryCache(tmp_path, defines_something).append([entry._replace(head=bytes(32))])
    assert content(read_directory(client, tmp_path)) == right


def test_what_defines_nothing_is_passed_over() -> None:
    assert not defines_something(b"")
    assert not defines_something(bytes(48))


def link_to_nothing(cache: Path) -> None:
    cache.symlink_to(cache.with_name("elsewhere"))


def link_to_a_file(cache: Path) -> None:
    cache.with_name("elsewhere").write_bytes(b"what is not ours")
    cache.symlink_to(cache.with_name("elsewhere"))


@pytest.mark.parametrize("put", [os.mkfifo, Path.mkdir, link_to_nothing, link_to_a_file])
def test_what_is_no_file_in_the_place_of_the_cache_is_left_alone(
    client: Store, tmp_path: Path, put: Callable[[Path], None]
) -> None:
    right = content(read_directory(client, tmp_path))
    cache, elsewhere = tmp_path / CACHE_FILE, tmp_path / "elsewhere"
    cache.unlink()
    put(cache)
    before = elsewhere.read_bytes() if elsewhere.exists() else None
    for _ in range(2):
        assert content(read_directory(client, tmp_path)) == right
    assert before == (elsewhere.read_bytes() if elsewhere.exists() else None)
    assert cache.is_dir() or (cache.is_file() and not cache.is_symlink())


@pytest.mark.parametrize("call", ["open", "write"])
def test_a_disk_that_takes_no_cache_costs_no_command_its_effect(
    client: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    def full(*_: object, **__: object) -> int:
        raise OSError(28, "No space left on device")

    right = content(read_directory(client, tmp_path))
    (cache,) = tmp_path.iterdir()
    cache.unlink()
    with monkeypatch.context() as patch:
        patch.setattr(os, call, full)
        assert content(read_directory(client, tmp_path)) == right
    assert content(read_directory(client, tmp_path)) == right


def test_a_store_that_has_lost_its_tail_is_not_shown(
    running_venue: VenueProcess, client: Store, tmp_path: Path
) -> None:
    end = StoreSource(client).published()
    write_watermark(tmp_path, "engine", EntryId(end.epoch, end.sequence + 10_000), bytes(32))
    with pytest.raises(ChainBroken, match="the engine had verified"):
        read_directory(client, tmp_path)
    write_watermark(tmp_path, "engine", EntryId(1, 0), bytes(32))
    with pytest.raises(ChainBroken, match="the chain at 1-0 is not the one"):
        read_directory(client, tmp_path)
    [first] = read_events(client, BEGINNING, count=1)
    write_watermark(tmp_path, "engine", first.id, first.head)
    assert read_directory(client, tmp_path).cursor >= end
