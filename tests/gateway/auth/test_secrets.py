from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.auth.secrets import (
    DRAFT_BEGINNING,
    SECRET_KEY_FILE,
    SecretError,
    create_secret_key,
    load_secret_key,
    seal,
    unseal,
)

KEY = bytes(range(32))


def test_a_sealed_secret_opens_again() -> None:
    sealed = seal(KEY, "key1", b"the secret")
    assert b"the secret" not in sealed
    assert unseal(KEY, "key1", sealed) == b"the secret"


@pytest.mark.parametrize(
    ("secret_key", "key_id", "change"),
    [
        (bytes(32), "key1", lambda sealed: sealed),
        (KEY, "key2", lambda sealed: sealed),
        (KEY, "key1", lambda sealed: sealed[:-1] + bytes([sealed[-1] ^ 1])),
        (KEY, "key1", lambda sealed: sealed[:5]),
        (KEY, "key1", lambda _: b""),
    ],
    ids=["another secret key", "another key id", "a changed byte", "cut off", "empty"],
)
def test_what_does_not_belong_does_not_open(secret_key: bytes, key_id: str, change: Callable[[bytes], bytes]) -> None:
    with pytest.raises(SecretError) as caught:
        unseal(secret_key, key_id, change(seal(KEY, "key1", b"the secret")))
    assert "the secret" not in str(caught.value).replace("the stored secret", "")


def test_the_secret_key_is_created_once_and_only_for_the_owner(tmp_path: Path) -> None:
    first = create_secret_key(tmp_path)
    assert len(first) == 32
    assert create_secret_key(tmp_path) == first == load_secret_key(tmp_path)
    assert (tmp_path / SECRET_KEY_FILE).stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == [SECRET_KEY_FILE]


def test_what_a_killed_creator_has_left_is_in_no_ones_way(tmp_path: Path) -> None:
    old = [tmp_path / f"{SECRET_KEY_FILE}.{os.getpid()}", tmp_path / f"{DRAFT_BEGINNING}0123456789abcdef"]
    for draft in old:
        draft.write_bytes(b"half")
    secret_key = create_secret_key(tmp_path)
    assert (len(secret_key), old[1].exists()) == (32, False)
    old[1].write_bytes(b"half")
    assert (create_secret_key(tmp_path), old[1].exists()) == (secret_key, False)


def test_a_creator_whose_draft_another_one_deleted_takes_the_key_of_that_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    link, others = os.link, []

    def late(source: Path, target: Path) -> None:
        monkeypatch.setattr(os, "link", link)
        others.append(create_secret_key(tmp_path))
        link(source, target)

    monkeypatch.setattr(os, "link", late)
    assert [create_secret_key(tmp_path)] == others
    assert [path.name for path in tmp_path.iterdir()] == [SECRET_KEY_FILE]


def test_an_unsafe_secret_key_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SecretError, match="cannot be read"):
        load_secret_key(tmp_path)
    path = tmp_path / SECRET_KEY_FILE
    path.write_bytes(bytes(31))
    path.chmod(0o600)
    with pytest.raises(SecretError, match="31 bytes"):
        load_secret_key(tmp_path)
    path.write_bytes(bytes(32))
    path.chmod(0o640)
    with pytest.raises(SecretError, match="chmod 600"):
        load_secret_key(tmp_path)
