"""Store and data folder belong together: watermarks that vouch for the store, and a secret.key that opens its secrets."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.journal import EVENTS_KEY, PUBLISHED_KEY, EntryId, Store, ensure_functions, library_code
from engine.process import EXIT_REFUSED
from engine.process.watermarks import FOLDER_NAME, begin_watermarks, path_of, read_watermarks, write_watermark
from gateway.auth.secrets import (
    SECRET_CHECK_KEY,
    SECRET_KEY_FILE,
    SECRETS_KEY,
    create_secret_key,
    load_secret_key,
    seal,
)
from jibek.console.failure import Failure
from jibek.console.operator import operator_name, system_user
from jibek.venue.accounts import KeyAdder
from jibek.venue.directory import AccountRecord
from jibek.venue.launch import LaunchFailed
from jibek.venue.store_match import StoreMismatch, match_store
from tests.worlds.processes import wait_until
from tests.worlds.stepped_venue import SteppedVenue
from tests.worlds.venue import VenueProcess

OTHER = b"\x07" * 32


def test_a_new_venue_gets_its_first_mark_once(client: Store, tmp_path: Path) -> None:
    ensure_functions(client, "jibek_journal", library_code("engine.journal", "journal.lua"))
    match_store(client, tmp_path)
    first = path_of(tmp_path, "up").stat()
    match_store(client, tmp_path)
    assert path_of(tmp_path, "up").stat().st_ino == first.st_ino
    with pytest.raises(StoreMismatch, match="start without --accept-store-end"):
        match_store(client, tmp_path, accept_end=True)


def lose_all(venue: SteppedVenue, data: Path) -> None:
    for path in (data / FOLDER_NAME).iterdir():
        path.unlink()


def lose_tail(venue: SteppedVenue, data: Path) -> None:
    last = venue.engine.published
    venue.client.xdel(EVENTS_KEY, str(last))
    venue.client.set(PUBLISHED_KEY, f"1-{last.sequence - 1}")


def name_another_head(venue: SteppedVenue, data: Path) -> None:
    write_watermark(data, "settlement", EntryId(1, 0), OTHER)


def name_what_is_not_there(venue: SteppedVenue, data: Path) -> None:
    venue.client.xdel(EVENTS_KEY, str(venue.engine.published))


def tear_a_mark(venue: SteppedVenue, data: Path) -> None:
    path_of(data, "settlement").write_text('{"id": "1-')


def contradict(venue: SteppedVenue, data: Path) -> None:
    write_watermark(data, "settlement", venue.engine.published, OTHER)


@pytest.mark.parametrize(
    ("damage", "what"),
    [
        (lose_all, "has no watermark: nothing shows whether the store is whole"),
        (lose_tail, r"ends at 1-\d+, but the engine had verified 1-\d+"),
        (name_another_head, "the chain at 1-0 is not the one"),
        (name_what_is_not_there, r"the store has no entry 1-\d+"),
        (tear_a_mark, "settlement.json is not a watermark"),
        (contradict, "two watermarks name different heads"),
    ],
)
def test_a_store_that_the_marks_do_not_vouch_for_needs_the_word_of_an_operator(
    client: Store, tmp_path: Path, damage: Callable[[SteppedVenue, Path], None], what: str
) -> None:
    begin_watermarks(tmp_path)
    venue = SteppedVenue(client, tmp_path)
    write_watermark(tmp_path, "engine", venue.engine.published, venue.engine.published_head)
    match_store(client, tmp_path)
    damage(venue, tmp_path)
    with pytest.raises(StoreMismatch, match=f"(?i){what}"):
        match_store(client, tmp_path)
    (given_up,) = match_store(client, tmp_path, accept_end=True)
    assert re.search(r"entries after 1-\d+, up to 1-\d+, were verified" if damage is lose_tail else what, given_up)
    assert [mark.process for mark in read_watermarks(tmp_path)] == ["up"]
    match_store(client, tmp_path)


# -- secrets


def sealed_under(secret_key: bytes, client: Store, *names: str) -> None:
    for name in names:
        client.hset(SECRETS_KEY, name, seal(secret_key, name, b"the secret"))


def test_a_folder_without_secrets_gets_a_key(client: Store, tmp_path: Path) -> None:
    assert match_store(client, tmp_path) == []
    key = load_secret_key(tmp_path)
    sealed_under(key, client, "a", "b")
    assert match_store(client, tmp_path) == []
    with pytest.raises(StoreMismatch, match="start without --forget-secrets"):
        match_store(client, tmp_path, forget_secrets=True)
    assert load_secret_key(tmp_path) == key


@pytest.mark.parametrize("names", [("a",), ("a", "b")])
def test_a_key_that_opens_nothing_is_the_right_one_if_the_check_value_says_so(
    client: Store, tmp_path: Path, names: tuple[str, ...]
) -> None:
    match_store(client, tmp_path)
    sealed_under(OTHER, client, *names)
    assert len(match_store(client, tmp_path)) == len(names)
    with pytest.raises(StoreMismatch, match="start without --forget-secrets"):
        match_store(client, tmp_path, forget_secrets=True)


def test_a_key_that_opens_a_secret_is_the_wrong_one_if_the_check_value_says_so(client: Store, tmp_path: Path) -> None:
    match_store(client, tmp_path)
    sealed_under(load_secret_key(tmp_path), client, "a")
    path = tmp_path / SECRET_KEY_FILE
    right = path.read_bytes()
    path.write_bytes(OTHER)
    sealed_under(OTHER, client, "b")
    with pytest.raises(StoreMismatch, match="is not the one under which this store's secrets are sealed"):
        match_store(client, tmp_path)
    account = AccountRecord(1, "alice", 0, "", "", "")
    with pytest.raises(Failure, match="before you stop the venue"):
        KeyAdder(client, account, 0, "me", "").hmac(tmp_path, show=lambda made: pytest.fail("shown"))
    assert client.hlen(SECRETS_KEY) == 2
    path.write_bytes(right)
    assert len(match_store(client, tmp_path)) == 1


@pytest.mark.parametrize("damage", ["none", "a bit", "short"])
def test_an_older_venue_and_one_with_a_changed_check_value_get_it(client: Store, tmp_path: Path, damage: str) -> None:
    match_store(client, tmp_path)
    kept = client.get(SECRET_CHECK_KEY)
    sealed_under(load_secret_key(tmp_path), client, "a")
    if damage == "none":
        client.delete(SECRET_CHECK_KEY)
    else:
        client.set(SECRET_CHECK_KEY, kept[:5] if damage == "short" else bytes([kept[0] ^ 1]) + kept[1:])
    assert match_store(client, tmp_path) == []
    assert client.get(SECRET_CHECK_KEY) == kept


def test_a_key_that_is_none_can_be_given_up(client: Store, tmp_path: Path) -> None:
    match_store(client, tmp_path)
    path = tmp_path / SECRET_KEY_FILE
    path.write_bytes(b"short")
    with pytest.raises(StoreMismatch, match="5 bytes, not 32: restore it from your backup, or remove it"):
        match_store(client, tmp_path)
    sealed_under(OTHER, client, "a")
    with pytest.raises(StoreMismatch, match=r"5 bytes, not 32.*--forget-secrets"):
        match_store(client, tmp_path)
    match_store(client, tmp_path, forget_secrets=True)
    assert len(load_secret_key(tmp_path)) == 32


@pytest.mark.parametrize("is_there", [False, True], ids=["missing", "another one"])
def test_a_secret_key_that_is_lost_is_not_replaced(client: Store, tmp_path: Path, is_there: bool) -> None:
    sealed_under(OTHER, client, "a", "b")
    if is_there:
        create_secret_key(tmp_path)
    what = "is not the one under which" if is_there else "is missing, and the store has 2 sealed secrets"
    with pytest.raises(StoreMismatch, match=f"{what}.*restore {tmp_path / SECRET_KEY_FILE}.*--forget-secrets"):
        match_store(client, tmp_path)
    assert (tmp_path / SECRET_KEY_FILE).exists() == is_there
    [warning] = match_store(client, tmp_path, forget_secrets=True)
    assert warning.startswith("2 sealed secrets deleted")
    assert client.hlen(SECRETS_KEY) == 0
    assert match_store(client, tmp_path) == []


def test_both_are_judged_before_anything_is_changed(client: Store, tmp_path: Path) -> None:
    SteppedVenue(client, tmp_path)
    sealed_under(OTHER, client, "a")
    for option in ("accept_end", "forget_secrets"):
        with pytest.raises(StoreMismatch):
            match_store(client, tmp_path, **{option: True})
        assert not any(tmp_path.iterdir())
        assert client.hlen(SECRETS_KEY) == 1
    assert len(match_store(client, tmp_path, accept_end=True, forget_secrets=True)) == 2


def test_a_single_secret_that_was_changed_is_named_and_holds_nothing_up(client: Store, tmp_path: Path) -> None:
    sealed_under(create_secret_key(tmp_path), client, "0123456789abcdef")
    sealed_under(OTHER, client, "fedcba9876543210")
    [warning] = match_store(client, tmp_path)
    assert "API key fedcba98… was changed" in warning


# -- a whole venue


def test_a_venue_whose_marks_and_key_are_gone_starts_only_when_its_operator_says_so(
    new_venue: Callable[..., VenueProcess],
) -> None:
    venue = new_venue().start()
    end = venue.wait_until_settled()
    client = venue.store()
    sealed_under(load_secret_key(venue.data), client, "a")
    client.close()
    venue.stop()
    marks = {mark.process: str(mark.id) for mark in read_watermarks(venue.data)}
    assert marks == dict.fromkeys(("engine", "settlement", "gateway-16"), end) | {"up": "0-0"}

    for path in (venue.data / FOLDER_NAME).iterdir():
        path.unlink()
    (venue.data / SECRET_KEY_FILE).unlink()
    with pytest.raises(LaunchFailed, match="has no watermark") as failed:
        venue.start()
    assert failed.value.exit_code == EXIT_REFUSED
    end_warning, secret_warning = new_venue(accept_store_end=True, forget_secrets=True).launch().wait_until_ready()
    assert "has no watermark" in end_warning and end_warning in venue.said()
    assert secret_warning.startswith("Warning: 1 sealed secret deleted")
    log = (venue.data / "logs" / "up.log").read_text()
    assert f"Started with --accept-store-end --forget-secrets by {operator_name()}, system user {system_user()}." in log


def test_under_a_running_venue_a_lost_secret_key_is_shown_and_waited_for_and_a_lost_mark_is_back(
    new_venue: Callable[..., VenueProcess],
) -> None:
    venue = new_venue().start()
    path = venue.data / SECRET_KEY_FILE
    right = path.read_bytes()

    def wait_until_status_says(text: str) -> None:
        wait_until(lambda: text in json.dumps(venue.facts()), f"the state says: {text}")

    path.unlink()
    wait_until_status_says("it was removed or changed; put it back before you stop the venue")
    path.write_bytes(OTHER)
    path.chmod(0o600)
    mark = path_of(venue.data, "up")
    mark.write_text("junk")
    pid = venue.kill("gateway")
    wait_until(lambda: '"check"' in mark.read_text(), "`jibek up` has written its mark again")
    wait_until_status_says("is not the one under which this store's secrets are sealed; put it back from a backup")
    path.write_bytes(right)
    venue.wait_until_back("gateway", pid)
