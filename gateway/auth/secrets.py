"""HMAC secrets at rest: sealed with AES-GCM under a key that never leaves the data folder.

    DIR/secret.key         32 random bytes, readable by the owner only
    {jibek}:secrets        hash, key id -> nonce (12 bytes) ‖ ciphertext ‖ tag (16 bytes)
    {jibek}:secret-check   HMAC of a fixed text under secret.key (32 bytes) ‖ its own check (8 bytes)

The check value alone says whether a secret.key is the one of this store, however many secrets it opens. A secret that
does not open under the right one was changed, even if it is the only one.

The key id is associated data: a sealed secret that is moved to another key id does not open. The journal holds no
secret, because auditors read it; a store that is copied without its data folder gives none away.
"""

from __future__ import annotations

import contextlib
import hmac
import os
from collections.abc import Iterable
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from engine.process.log_lines import shown_key
from engine.process.private_files import UnsafePath, open_private, sync_folder

SECRETS_KEY = "{jibek}:secrets"
SECRET_CHECK_KEY = "{jibek}:secret-check"
SECRET_KEY_FILE = "secret.key"
DRAFT_BEGINNING = f"{SECRET_KEY_FILE}.draft-"
"""Of the names of files that become the secret key, and are deleted if their process was killed before."""
SECRET_KEY_BYTES = 32
NONCE_BYTES = 12
SECRETS_PER_READ = 1000
CHANGED_SHOWN = 10
"""So many changed secrets are named."""

_CHECKED_TEXT = b"jibek: this is the secret.key of the store"
_CHECK_BYTES = 8


class SecretError(Exception):
    """The secret key or a sealed secret cannot be used; the text never names the secret."""


class SecretKeyLost(SecretError):
    """There is no secret.key, or it is not the one of this store: only a backup has it."""


def create_secret_key(data_dir: Path) -> bytes:
    """The secret key of `data_dir`; creates it (mode 0600) if it is missing, and then it is on disk under its name. Safe against a
    second creator, and against one that was killed.

    Raises:
        SecretError: a file is there that is not a secret key, or is readable by others.
        OSError: it cannot be written.
    """
    path = data_dir / SECRET_KEY_FILE
    # The file appears under its name only when it is complete, and only if no other process was first. No two drafts have one name:
    # a process that was killed leaves its own, and its number comes again.
    draft = data_dir / f"{DRAFT_BEGINNING}{os.urandom(8).hex()}"
    if not path.exists():
        try:
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(os.urandom(SECRET_KEY_BYTES))
                file.flush()
                os.fsync(file.fileno())
            # Where another process was first, its key is the one, and it has deleted this draft.
            with contextlib.suppress(FileExistsError, FileNotFoundError):
                os.link(draft, path)
        finally:
            draft.unlink(missing_ok=True)
        sync_folder(data_dir)
    secret_key = load_secret_key(data_dir)
    for left in data_dir.glob(f"{DRAFT_BEGINNING}*"):
        left.unlink(missing_ok=True)
    return secret_key


def load_secret_key(data_dir: Path) -> bytes:
    """The secret key of `data_dir`, 32 bytes.

    Raises:
        SecretKeyLost: there is none, or it has a wrong length.
        SecretError: it is not this user's alone, or cannot be read.
    """
    path = data_dir / SECRET_KEY_FILE
    try:
        with os.fdopen(open_private(path, os.O_RDONLY), "rb") as file:
            found = os.fstat(file.fileno())
            secret_key = file.read(SECRET_KEY_BYTES + 1)
    except UnsafePath as error:
        raise SecretError(str(error)) from None
    except FileNotFoundError as error:
        raise SecretKeyLost(f"{path} cannot be read: {error.strerror}") from None
    except OSError as error:
        raise SecretError(f"{path} cannot be read: {error.strerror}") from None
    if found.st_mode & 0o077:
        raise SecretError(f"{path} is readable by others: run `chmod 600 {path}`")
    if len(secret_key) != SECRET_KEY_BYTES:
        raise SecretKeyLost(f"{path} has {found.st_size} bytes, not {SECRET_KEY_BYTES}")
    return secret_key


def seal(secret_key: bytes, key_id: str, secret: bytes) -> bytes:
    """`secret` as it may be stored, bound to `key_id`."""
    nonce = os.urandom(NONCE_BYTES)
    return nonce + AESGCM(secret_key).encrypt(nonce, secret, key_id.encode())


def unseal(secret_key: bytes, key_id: str, sealed: bytes) -> bytes:
    """The inverse of `seal`.

    Raises:
        SecretError: it was sealed under another secret key or for another key id, or was changed.
    """
    try:
        return AESGCM(secret_key).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], key_id.encode())
    except (InvalidTag, ValueError):
        raise SecretError(
            f"the stored secret of API key {shown_key(key_id)} does not open with {SECRET_KEY_FILE}"
        ) from None


def keep_check(client: Any, secret_key: bytes) -> None:
    """Stores the check value of `secret_key`, which is from then on the one of this store."""
    client.set(SECRET_CHECK_KEY, _check_value(secret_key))


def check_secret_key(client: Any, secret_key: bytes) -> None:
    """Checks that `secret_key` is the one of this store. Cost: a round trip; a store of an older venue, without a check value,
    may need all its secrets opened.

    Raises:
        SecretKeyLost: it is another one. Without a check value: there are sealed secrets, and it opens none of them.
        redis.ConnectionError, redis.TimeoutError: the store is away.
    """
    kept = client.get(SECRET_CHECK_KEY)
    if kept is not None and kept == _with_own_check(kept[:-_CHECK_BYTES]):
        if not hmac.compare_digest(kept, _check_value(secret_key)):
            raise SecretKeyLost(f"{SECRET_KEY_FILE} is not the one under which this store's secrets are sealed")
        return
    # It is missing, or was changed.
    has_secrets = False
    for key_id, sealed in client.hscan_iter(SECRETS_KEY, count=SECRETS_PER_READ):
        has_secrets = True
        with contextlib.suppress(SecretError):
            unseal(secret_key, key_id.decode(errors="replace"), sealed)
            return
    if has_secrets:
        raise SecretKeyLost(
            f"{SECRET_KEY_FILE} is not the one under which the stored secrets were sealed: it opens none of them"
        )


def _check_value(secret_key: bytes) -> bytes:
    return _with_own_check(hmac.digest(secret_key, _CHECKED_TEXT, "sha256"))


def _with_own_check(value: bytes) -> bytes:
    """Shows a changed check value, which would else speak against the right key."""
    return value + sha256(value).digest()[:_CHECK_BYTES]


def check_secrets(client: Any, secret_key: bytes) -> list[str]:
    """Opens every sealed secret in the store. Cost: about 5 µs each.

    Returns:
        The beginnings of the ids of keys whose secret was changed, at most `CHANGED_SHOWN`.

    Raises:
        SecretKeyLost: see `check_secret_key`.
        redis.ConnectionError, redis.TimeoutError: the store is away.
    """
    check_secret_key(client, secret_key)
    changed: list[str] = []
    for key_id, sealed in client.hscan_iter(SECRETS_KEY, count=SECRETS_PER_READ):
        name = key_id.decode(errors="replace")
        try:
            unseal(secret_key, name, sealed)
        except SecretError:
            changed.append(shown_key(name))
            if len(changed) == CHANGED_SHOWN:
                break
    return changed


def missing_secrets(client: Any, key_ids: Iterable[str]) -> list[str]:
    """Which of these keys have no secret in the store. Cost: a round trip for each `SECRETS_PER_READ` keys.

    Returns:
        The beginnings of their ids, at most `CHANGED_SHOWN`.

    Raises:
        redis.ConnectionError, redis.TimeoutError: the store is away.
    """
    missing: list[str] = []
    ids = iter(key_ids)
    while (part := list(islice(ids, SECRETS_PER_READ))) and len(missing) < CHANGED_SHOWN:
        sealed = client.hmget(SECRETS_KEY, part)
        missing += [shown_key(key_id) for key_id, secret in zip(part, sealed, strict=True) if secret is None]
    return missing[:CHANGED_SHOWN]
