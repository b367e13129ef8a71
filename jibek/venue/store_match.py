"""Whether the store is the one that the data folder knows: `jibek up` asks before anything else starts.

    watermarks/   how far the chain had come: the store must reach them, with the same heads
    secret.key    must open the sealed HMAC secrets in the store

A new venue gets both here, before its first entry. An operator who has lost one of them knowingly goes on without it, by an
option that is refused as soon as there is nothing to give up: it cannot stay in a start script by mistake.
"""

from __future__ import annotations

from pathlib import Path

from engine.journal import ChainBroken, Store, StoreSource
from engine.process.watermarks import (
    ACCEPT_STORE_END,
    FOLDER_NAME,
    WAY_OUT,
    BadWatermark,
    begin_watermarks,
    check_begun,
    check_reached,
    heads_of,
    read_watermarks,
)
from gateway.auth.secrets import (
    SECRET_KEY_FILE,
    SECRETS_KEY,
    SecretError,
    check_secrets,
    create_secret_key,
    load_secret_key,
)
from jibek.venue.launch import FORGET_SECRETS


class StoreMismatch(Exception):
    """Store and data folder do not belong together, or nothing is there to give up; the text says what to do."""


def match_watermarks(client: Store, data: Path, *, accept_end: bool) -> None:
    """Compares the store with the watermarks; a new venue gets its first one.

    Args:
        accept_end: whether the operator goes on with a store for which they do not vouch. They then begin again.

    Raises:
        StoreMismatch: they do not vouch for the store; or they do, and there is nothing to accept.
        redis.ConnectionError, redis.TimeoutError: the store is away.
    """
    trouble = _watermark_trouble(client, data)
    if accept_end:
        if not trouble:
            raise StoreMismatch(f"The store has all that the watermarks name: start without {ACCEPT_STORE_END}.")
        begin_watermarks(data)
    elif trouble:
        raise StoreMismatch(f"{trouble}.")
    elif not read_watermarks(data):
        begin_watermarks(data)


def _watermark_trouble(client: Store, data: Path) -> str:
    """Why the watermarks do not vouch for the store; empty if they do."""
    source = StoreSource(client)
    try:
        marks = read_watermarks(data)
        check_begun(marks, data, source.appended())
        check_reached(marks, source.published())
        heads = heads_of(marks)
        for entry in source.events_at(heads):
            if entry.head != heads.pop(entry.id):
                return f"the chain at {entry.id} is not the one that {data / FOLDER_NAME} names. {WAY_OUT}"
        if heads:
            return f"the store has no entry {min(heads)}, which {data / FOLDER_NAME} names. {WAY_OUT}"
    except (BadWatermark, ChainBroken) as error:
        return str(error)
    finally:
        source.close()
    return ""


def match_secrets(client: Store, data: Path, *, forget: bool) -> list[str]:
    """Compares the sealed secrets in the store with secret.key; a folder without one gets one, if nothing is sealed yet.

    Args:
        forget: whether the operator gives up the sealed secrets. The keys that they belong to then open nothing any more.

    Returns:
        What the operator should know, one sentence each.

    Raises:
        StoreMismatch: the secrets do not open; or they do, and there is nothing to give up.
        SecretError: secret.key cannot be used at all.
        redis.ConnectionError, redis.TimeoutError: the store is away.
    """
    count = int(client.hlen(SECRETS_KEY))
    trouble = _secret_trouble(client, data, count)
    if forget and not trouble:
        raise StoreMismatch(f"{SECRET_KEY_FILE} opens the stored secrets: start without {FORGET_SECRETS}.")
    if not forget and trouble:
        raise StoreMismatch(
            f"{trouble}: restore {data / SECRET_KEY_FILE} from your backup. If it is lost, start once with `jibek up "
            f"{FORGET_SECRETS}`: all HMAC keys then stop working for good, and their owners need new ones."
        )
    warnings = []
    if forget:
        client.delete(SECRETS_KEY)
        warnings.append(
            f"{count} sealed secrets were deleted: the HMAC keys that had them open nothing any more. Revoke them, and give "
            "their owners new ones (`jibek account key`)."
        )
    secret_key = create_secret_key(data)
    changed = check_secrets(client, secret_key)
    warnings += [
        f"The stored secret of API key {key} was changed, and opens nothing: revoke the key, and give its owner a new one."
        for key in changed
    ]
    return warnings


def _secret_trouble(client: Store, data: Path, count: int) -> str:
    """Why the sealed secrets cannot be used; empty if they can, or if there are none."""
    if not count:
        return ""
    if not (data / SECRET_KEY_FILE).exists():
        return f"{SECRET_KEY_FILE} is missing, and the store has {count} sealed secrets"
    secret_key = load_secret_key(data)
    try:
        check_secrets(client, secret_key)
    except SecretError as error:
        return str(error)
    return ""
