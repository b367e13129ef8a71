"""Two venues on one store: the second is refused by name, and a claim ends with its process."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import pytest

from engine.journal import Store
from jibek.venue import store_claim
from jibek.venue.store_claim import StoreClaim, StoreClaimed
from tests.worlds.store import StoreProcess


@pytest.fixture
def first(server: StoreProcess) -> Iterator[StoreClaim]:
    claim = StoreClaim(server.url)
    claim.keep()
    yield claim
    claim.give_up()


def end_connections(client: Store) -> None:
    client.execute_command("CLIENT", "KILL", "TYPE", "NORMAL", "SKIPME", "YES")


def test_a_second_venue_on_a_store_is_refused_by_name(first: StoreClaim, server: StoreProcess) -> None:
    with pytest.raises(StoreClaimed, match=f"process {os.getpid()} on .*stop that one, or name another store"):
        StoreClaim(server.url).keep()
    first.keep()


def test_a_claim_ends_with_its_connection(first: StoreClaim, server: StoreProcess) -> None:
    first.give_up()
    second = StoreClaim(server.url)
    second.keep()
    second.give_up()


def test_a_claim_that_was_cut_off_is_taken_again(first: StoreClaim, server: StoreProcess, client: Store) -> None:
    client.ping()
    end_connections(client)
    first.keep()
    with pytest.raises(StoreClaimed):
        StoreClaim(server.url).keep()


def test_of_two_the_one_that_was_cut_off_gives_way(first: StoreClaim, server: StoreProcess, client: Store) -> None:
    client.ping()
    end_connections(client)
    second = StoreClaim(server.url)
    second.keep()
    with pytest.raises(StoreClaimed):
        first.keep()
    second.keep()
    second.give_up()


def test_a_store_that_is_away_is_asked_again_later(monkeypatch: pytest.MonkeyPatch, server: StoreProcess) -> None:
    claim = StoreClaim("unix:///nowhere")
    claim.keep()
    claim._url = server.url
    claim.keep()
    StoreClaim(server.url).keep()
    later_s = time.monotonic() + store_claim.RETRY_S
    monkeypatch.setattr(time, "monotonic", lambda: later_s)
    claim.keep()
    with pytest.raises(StoreClaimed):
        StoreClaim(server.url).keep()
    claim.give_up()
