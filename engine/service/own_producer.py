"""The engine's own service as a producer of batches: time ticks and the halt of the clock guard."""

from __future__ import annotations

import redis

from engine.journal import ENGINE_PRODUCER, EntryId, Producer, Store
from engine.process.follower import NotReady
from engine.records import BatchBuilder


class OwnProducer:
    """One producer for all that the service appends; with two, each would make the other's batches stale.

    It opens with the first batch: an engine that only follows another one writes nothing.
    """

    def __init__(self, client: Store) -> None:
        self._client = client
        self._producer: Producer | None = None

    def append(self, builder: BatchBuilder) -> EntryId:
        """Appends a batch without waiting for its events, which come like any others; returns its id.

        Raises:
            redis.ConnectionError, redis.TimeoutError: the connection was lost; whether it was added is unknown.
            StoreTimeout, StaleEpoch, ChainBroken: see `Producer.append`.
            NotReady: the store is full, and its reserve is used up, too. The engine goes on, and tries again.
        """
        if self._producer is None:
            self._producer = Producer(self._client, ENGINE_PRODUCER)
        try:
            return self._producer.append(builder)
        except redis.OutOfMemoryError:
            raise NotReady("the store and its reserve are full, and take nothing from the engine itself") from None
