"""Accounts with keys, on a running venue: opened once, and no secret stays behind without its key."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import redis

from engine.journal import JOURNAL_KEY, EntryId, OutcomeUnknown, Producer, Store
from engine.process import EXIT_REFUSED, EXIT_UNREACHABLE
from engine.records import KeyType
from gateway.auth.secrets import SECRETS_KEY
from jibek.console.changes import Rejected
from jibek.console.failure import Failure
from jibek.venue.accounts import PERMISSIONS, KeyAdder, open_account, open_trading_accounts, revoke_key
from jibek.venue.directory import AccountRecord, read_directory
from jibek.venue.tiers import LOAD_TIER
from tests.worlds.venue import VenueProcess


@pytest.fixture
def client(running_venue: VenueProcess) -> Iterator[Store]:
    client = running_venue.store()
    yield client
    client.close()


def account(venue: VenueProcess, client: Store, name: str) -> AccountRecord:
    return read_directory(client, venue.data).account_by_name[name]


@pytest.mark.parametrize(("hmac", "secret"), [(True, "secret"), (False, "private_key")])
def test_trading_accounts_are_opened_once_and_get_a_new_key_each_time(
    running_venue: VenueProcess, client: Store, hmac: bool, secret: str
) -> None:
    asset = read_directory(client, running_venue.data).listing.asset_by_name["BTC"]
    names = [f"bot-{secret}-{number}".replace("_", "-") for number in range(2)]
    for round in (1, 2):
        keys = open_trading_accounts(
            client, running_venue.data, {name: [(asset, 5)] for name in names}, hmac=hmac, who="test", why=""
        )
        assert [key.keys() for key in keys] == [{"key", secret}] * 2
        for name, key in zip(names, keys, strict=True):
            record = account(running_venue, client, name)
            assert record.tier == LOAD_TIER
            assert len(record.keys) == round
            assert record.keys[key["key"]].permissions == PERMISSIONS["trade"]
            assert record.keys[key["key"]].type == (KeyType.HMAC_SHA256 if hmac else KeyType.ED25519)
    running_venue.wait_until_settled()
    shown = running_venue.json("account", "show", names[0])["balances"]
    assert {row["asset"]: row["available"] for row in shown}["BTC"] == asset.format(5), "the deposit comes once"


def test_a_refused_key_leaves_no_secret(running_venue: VenueProcess, client: Store) -> None:
    open_account(client, running_venue.data, "keyless", [], who="test", why="")
    nobody = replace(account(running_venue, client, "keyless"), number=2**31)
    before = client.hkeys(SECRETS_KEY)
    with pytest.raises(Failure, match="No such account") as failure:
        KeyAdder(client, nobody, PERMISSIONS["read"], "test", "").hmac(running_venue.data)
    assert failure.value.exit_code == EXIT_REFUSED
    assert sorted(client.hkeys(SECRETS_KEY)) == sorted(before)


def test_a_revoked_key_loses_its_secret(running_venue: VenueProcess, client: Store) -> None:
    open_account(client, running_venue.data, "revoked", [], who="test", why="")
    record = account(running_venue, client, "revoked")
    key = KeyAdder(client, record, PERMISSIONS["read"], "test", "").hmac(running_venue.data)["key"]
    assert client.hexists(SECRETS_KEY, key)
    revoke_key(client, record, key, who="test", why="")
    assert not client.hexists(SECRETS_KEY, key)
    assert account(running_venue, client, "revoked").keys[key].is_revoked
    with pytest.raises(Failure):
        revoke_key(client, record, key, who="test", why="")


def test_a_failing_store_neither_takes_a_secret_that_may_count_nor_hides_a_revocation(
    running_venue: VenueProcess, client: Store, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def failing(*_: Any) -> None:
        raise redis.ReadOnlyError("a read only replica")

    def unanswered(*_: Any, **__: Any) -> None:
        raise Failure(EXIT_REFUSED, "The store refused: something")

    open_account(client, running_venue.data, "failing", [], who="test", why="")
    record = account(running_venue, client, "failing")
    adder = KeyAdder(client, record, PERMISSIONS["read"], "test", "")
    key = adder.hmac(running_venue.data)["key"]
    with monkeypatch.context() as patch:
        patch.setattr("jibek.venue.accounts.execute", unanswered)
        before = client.hlen(SECRETS_KEY)
        with pytest.raises(Failure):
            adder.hmac(running_venue.data)
        assert client.hlen(SECRETS_KEY) == before + 1, "only the engine can say that no key needs it"
    monkeypatch.setattr(client, "hdel", failing)
    nobody = replace(adder, account=replace(record, number=2**31))
    with pytest.raises(Rejected, match="No such account"):
        nobody.hmac(running_venue.data)
    revoke_key(client, record, key, who="test", why="")
    assert account(running_venue, client, "failing").keys[key].is_revoked
    assert capsys.readouterr().err == (
        "The key is revoked. Its sealed secret, which opens nothing any more, could not be deleted: a read only replica.\n"
    )


def test_an_account_waits_for_an_earlier_command_and_says_that_nothing_was_sent(
    running_venue: VenueProcess, client: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def silent(producer: Producer, id: EntryId, **_: Any) -> None:
        raise OutcomeUnknown(f"no answer to {id}: whether it was executed is unknown")

    open_account(client, running_venue.data, "earlier", [], who="test", why="")
    monkeypatch.setattr(Producer, "wait_for", silent)
    before = client.xlen(JOURNAL_KEY)
    with pytest.raises(Failure, match=r"^Nothing of this command was sent: the engine has not answered") as failure:
        open_account(client, running_venue.data, "later", [], who="test", why="")
    assert "unknown" not in failure.value.message
    assert (failure.value.exit_code, client.xlen(JOURNAL_KEY)) == (EXIT_UNREACHABLE, before)
