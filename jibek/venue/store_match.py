"""Whether the store is the one that the data folder knows: `jibek up` asks before anything else starts.

    watermarks/   how far the chain had come: the store must reach them, with the same heads
    secret.key    must be the one under which the HMAC secrets in the store are sealed

A new venue gets both here, before its first entry. An operator who has lost one of them knowingly goes on without it, by an
option that is refused as soon as there is nothing to give up: it cannot stay in a start script by mistake.
"""

from __future__ import annotations

from pathlib import Path

from engine.journal import BEGINNING, ChainBroken, Store, StoreSource
from engine.process.watermarks import (
    ACCEPT_STORE_END,
    WAY_OUT,
    BadWatermark,
    begin_watermarks,
    check_begun,
    check_heads,
    check_reached,
    heads_of,
    read_watermarks,
)
from gateway.auth.secrets import (
    SECRET_CHECK_KEY,
    SECRET_KEY_FILE,
    SECRETS_KEY,
    SecretKeyLost,
    check_secret_key,
    check_secrets,
    create_secret_key,
    keep_check,
    load_secret_key,
)
from jibek.venue.launch import FORGET_SECRETS


class StoreMismatch(Exception):
    """Store and data folder do not belong together, or nothing is there to give up; the text says what to do."""


def match_store(client: Store, data: Path, *, accept_end: bool = False, forget_secrets: bool = False) -> list[str]:
    """Compares the store with the data folder; a new venue gets its first watermark and its secret.key.

    Args:
        accept_end: whether the operator goes on with a store for which the watermarks do not vouch. They then begin again.
        forget_secrets: whether the operator gives up the sealed secrets, which do not open. Their keys then open nothing.

    Returns:
        What the operator should know, one sentence each.

    Raises:
        StoreMismatch: they do not belong together, or there is nothing to accept or to forget. Nothing was changed.
        SecretError: others can read or write secret.key, or it is no file.
        redis.ConnectionError, redis.TimeoutError: the store is away.
    """
    end_trouble, secret_trouble = _watermark_trouble(client, data), _secret_trouble(client, data)
    if accept_end and not end_trouble:
        raise StoreMismatch(f"The store has all that the watermarks name: start without {ACCEPT_STORE_END}.")
    if end_trouble and not accept_end:
        raise StoreMismatch(f"{end_trouble[:1].upper()}{end_trouble[1:]}.")
    if forget_secrets and not secret_trouble:
        raise StoreMismatch(f"{SECRET_KEY_FILE} is the one of the stored secrets: start without {FORGET_SECRETS}.")
    if secret_trouble and not forget_secrets:
        raise StoreMismatch(
            f"{secret_trouble}: restore {data / SECRET_KEY_FILE} from your backup. If it is lost, start once with `jibek up "
            f"{FORGET_SECRETS}`: all HMAC keys then stop working for good, and their owners need new ones."
        )
    warnings = [_given_up(client, data, end_trouble)] if accept_end else []
    # From here on things are changed.
    if accept_end or not read_watermarks(data):
        begin_watermarks(data)
    warnings += _forget_secrets(client, data) if forget_secrets else []
    secret_key = create_secret_key(data)
    keep_check(client, secret_key)
    changed = check_secrets(client, secret_key)
    return warnings + [
        f"The stored secret of API key {key} was changed, and opens nothing: revoke the key, and give its owner a new one."
        for key in changed
    ]


def _watermark_trouble(client: Store, data: Path) -> str:
    """Why the watermarks do not vouch for the store; empty if they do."""
    source = StoreSource(client)
    try:
        marks = read_watermarks(data)
        check_begun(marks, data, source.appended())
        check_reached(marks, source.published())
        check_heads(heads_of(marks), source, data)
    except BadWatermark as error:
        return str(error)
    except ChainBroken as error:
        return str(error) if WAY_OUT in str(error) else f"{error}. {WAY_OUT}"
    finally:
        source.close()
    return ""


def _given_up(client: Store, data: Path, trouble: str) -> str:
    """What an operator gives up who goes on with the store as it is, in one or two sentences.

    Args:
        trouble: why the watermarks do not vouch for the store.
    """
    source = StoreSource(client)
    try:
        end = source.published()
        last = max((mark.id for mark in read_watermarks(data)), default=end)
    except (BadWatermark, ChainBroken):
        last = end = BEGINNING
    finally:
        source.close()
    if end < last:
        return (
            f"The entries after {end}, up to {last}, were verified and are not in the store: they are given up, as "
            f"{ACCEPT_STORE_END} says."
        )
    what = trouble.removesuffix(WAY_OUT).rstrip(" .")
    return f"By {ACCEPT_STORE_END} the venue goes on with a store that the watermarks do not vouch for: {what}."


def _forget_secrets(client: Store, data: Path) -> list[str]:
    """Deletes the sealed secrets, and a secret.key that is none; what the operator should know then."""
    count = int(client.hlen(SECRETS_KEY))
    client.delete(SECRETS_KEY, SECRET_CHECK_KEY)
    try:
        load_secret_key(data)
    except SecretKeyLost:
        (data / SECRET_KEY_FILE).unlink(missing_ok=True)
    return [
        f"{_secrets(count)} deleted: the HMAC keys that had them open nothing any more. Revoke them, and give their owners "
        "new ones (`jibek account key`)."
    ]


def _secrets(count: int) -> str:
    """
    >>> _secrets(1)
    '1 sealed secret'
    """
    return f"{count} sealed secret{'' if count == 1 else 's'}"


def _secret_trouble(client: Store, data: Path) -> str:
    """Why the sealed secrets cannot be used; empty if they can, or if there are none.

    Raises:
        StoreMismatch: there are none, and secret.key is no key.
    """
    count = int(client.hlen(SECRETS_KEY))
    if not (data / SECRET_KEY_FILE).exists():
        return f"{SECRET_KEY_FILE} is missing, and the store has {_secrets(count)}" if count else ""
    try:
        secret_key = load_secret_key(data)
        if count:
            check_secret_key(client, secret_key)
    except SecretKeyLost as error:
        if count:
            return str(error)
        raise StoreMismatch(
            f"{error}: restore it from your backup, or remove it, since nothing is sealed under it."
        ) from None
    return ""
