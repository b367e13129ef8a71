"""What happens before the gateway opens its port: secret.key is found, and the view is built from all events in the store."""

from __future__ import annotations

import logging
import os
from typing import NamedTuple

from engine.journal import EventReader, KnownHeads, StoreSource, check_consistent, connect, current_epoch, prepare_store
from engine.process import PARENT_FD_VARIABLE, StopRequest
from engine.process.duties import Duties
from engine.process.follower import RETRY_S_MAX, Backoff, NotReady, retry
from engine.process.watermarks import known_heads
from engine.records import EventEntry
from gateway.arguments import Arguments
from gateway.auth.rate_limits import RateLimits
from gateway.auth.secrets import (
    SECRET_KEY_FILE,
    SecretError,
    check_secret_key,
    check_secrets,
    load_secret_key,
    missing_secrets,
)
from gateway.limits import ENTRIES_PER_REBUILD_READ
from gateway.venue_view import VenueView


class Prepared(NamedTuple):
    """What the process knows before it opens its port."""

    view: VenueView
    rate_limits: RateLimits
    reader: EventReader
    """Its cursor is the view's."""
    epoch: int


def find_secret_key(arguments: Arguments, stop: StopRequest, log: logging.Logger, duties: Duties) -> bytes | None:
    """The secret key of the data folder, once it is the one of the store. Under `jibek up`, which has begun with the right one,
    it waits until that is back: an end would keep the venue without a gateway. None if the stop is requested before.

    Raises:
        SecretError: it cannot be used, and no `jibek up` runs this process.
    """
    client = connect(arguments.store)
    backoff = Backoff(log)
    fault = ""

    def find() -> bytes:
        duties.came_round()
        secret_key = load_secret_key(arguments.data)
        check_secret_key(client, secret_key)
        return secret_key

    duties.watch(SECRET_KEY_FILE, lambda: fault)
    try:
        while not stop:
            try:
                return retry(find, stop, backoff)
            except SecretError as error:
                if PARENT_FD_VARIABLE not in os.environ:
                    raise
                if not fault:
                    log.error("waits for its secret key: %s; put it back from a backup", error)
                fault = f"{error}; put it back from a backup"
                stop.wait(RETRY_S_MAX)
        return None
    finally:
        client.close()


def prepare(
    arguments: Arguments, secret_key: bytes, stop: StopRequest, log: logging.Logger, duties: Duties
) -> Prepared | None:
    """Applies all events in the store, from the beginning; waits for a store that is away and for a venue in it. None if
    the stop is requested before. Cost: about 10 µs an event.

    Raises:
        StoreRefused, ChainBroken, BadWatermark: what is in the store is not a sound venue of this version, or not the one
            that this data folder knows.
        SecretError: `secret_key` is not the one under which the HMAC secrets in the store were sealed.
    """
    client = connect(arguments.store)
    source = StoreSource(client)
    rate_limits = RateLimits()
    view, reader = VenueView(rate_limits), EventReader()

    def rebuild() -> int:
        """Goes on where the view is; the epoch in force."""
        prepare_store(client)
        for key in check_secrets(client, secret_key):
            log.error("the stored secret of API key %s was changed, and opens nothing: revoke the key", key)
        reader.known = KnownHeads(known_heads(arguments.data, source), reader.cursor)
        check_consistent(client)
        epoch = current_epoch(client)
        if not epoch:
            raise NotReady("the store holds no venue yet")
        while not stop and (entries := reader.read(source, count=ENTRIES_PER_REBUILD_READ)):
            for published in entries:
                view.apply(EventEntry(published.data), published.id)
        for key in missing_secrets(client, view.keys.hmac_ids()):
            log.error("API key %s has no secret in the store, and opens nothing: revoke the key", key)
        return epoch

    backoff = Backoff(log)
    duties.watch("store", lambda: backoff.fault)
    try:
        epoch = retry(rebuild, stop, backoff)
    finally:
        source.close()
        client.close()
    return None if epoch is None or stop else Prepared(view, rate_limits, reader, epoch)
