"""The names of the entries of the journal and of the events, and the entries as they are read."""

from __future__ import annotations

from typing import NamedTuple


class EntryId(NamedTuple):
    """Id of a journal entry and of its event entry."""

    epoch: int
    sequence: int

    @classmethod
    def parse(cls, text: bytes | str) -> EntryId:
        """
        >>> EntryId.parse(b"1-20")
        EntryId(epoch=1, sequence=20)
        """
        epoch, _, sequence = text.decode().partition("-") if isinstance(text, bytes) else text.partition("-")
        return cls(int(epoch), int(sequence))

    def __str__(self) -> str:
        return f"{self.epoch}-{self.sequence}"


BEGINNING = EntryId(0, 0)
"""The cursor of a reader that has read nothing."""


class JournalEntry(NamedTuple):
    id: EntryId
    time_us: int
    """The store's stamp."""
    batch: bytes


class PublishedEntry(NamedTuple):
    id: EntryId
    head: bytes
    """The head of the hash chain at this entry."""
    digest: bytes
    """Of the journal entry that it answers."""
    data: bytes
    """The event entry."""
