"""A clock that stood ahead for a moment: what it leaves in the store is an entry of the journal that is stamped too late."""

from __future__ import annotations

from engine.journal import JOURNAL_KEY, OPERATOR_PRODUCER, PRODUCERS_KEY, EntryId, Producer, Store, store_time_us
from engine.records import BatchBuilder


def stamp_ahead(client: Store, us: int) -> EntryId:
    """Appends an empty batch of the operator as the store would have, had its clock stood `us` microseconds ahead."""
    producer = Producer(client, OPERATOR_PRODUCER)
    batch = BatchBuilder().build(producer=OPERATOR_PRODUCER, incarnation=producer.incarnation, number=1)
    stamp = str(store_time_us(client) + us).encode()
    fields = {"t": stamp, "c": stamp, "b": batch}
    id = EntryId.parse(client.xadd(JOURNAL_KEY, fields, id=f"{producer.epoch}-*"))
    client.hset(PRODUCERS_KEY, str(OPERATOR_PRODUCER), f"{producer.incarnation} 1 {id}")
    return id
