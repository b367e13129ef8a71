"""The directory and its cache: the same answer with it, without it, and when it is damaged or of another venue."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.journal import EntryId, Store
from engine.records import KeyType
from jibek.console.operator import system_user
from jibek.venue.directory import CACHE_FILE, Directory, defines_something, read_directory
from tests.worlds.venue import VenueProcess


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


@pytest.mark.parametrize("damage", ["cut", "bit", "garbage"])
def test_a_damaged_cache_is_thrown_away(client: Store, tmp_path: Path, damage: str) -> None:
    right = content(read_directory(client, tmp_path))
    cache = tmp_path / CACHE_FILE
    data = bytearray(cache.read_bytes())
    if damage == "cut":
        os.truncate(cache, len(data) - 1)
    elif damage == "bit":
        data[len(data) // 2] ^= 1
        cache.write_bytes(data)
    else:
        cache.write_bytes(data + b"garbage")
    assert content(read_directory(client, tmp_path)) == right


def test_two_commands_at_once_leave_a_cache_that_can_be_read(client: Store, tmp_path: Path) -> None:
    right = content(read_directory(client, tmp_path))
    cache = tmp_path / CACHE_FILE
    cache.write_bytes(cache.read_bytes() * 2)
    assert content(read_directory(client, tmp_path)) == right


def test_the_cache_of_another_venue_is_thrown_away(client: Store, tmp_path: Path) -> None:
    right = content(read_directory(client, tmp_path))
    cache = tmp_path / CACHE_FILE
    data = bytearray(cache.read_bytes())
    data[16:48] = bytes(32)  # The head of the first record, which stays the only one.
    record_bytes = 56 + int.from_bytes(data[48:52], "little")
    cache.write_bytes(data[:record_bytes])
    assert content(read_directory(client, tmp_path)) == right


def test_what_defines_nothing_is_passed_over() -> None:
    assert not defines_something(b"")
    assert not defines_something(bytes(48))
