"""Who the numbers are: the names of accounts and assets, kept with the ledger as the events define them.

They stand in one hash, so that a report needs no walk through the events:

    account:<number>  ->  name
    number:<name>     ->  number
    asset:<number>    ->  scale, a space, name
"""

from __future__ import annotations

from collections.abc import Mapping

from engine.listing import Asset
from engine.records import ASSET_DEFINITION, EVENT_BYTES, EVENT_HEADER, HOUSE_ACCOUNT, EventEntry, EventKind
from engine.records import HOUSE_NAME as HOUSE_NAME_BYTES

HOUSE_NAME = HOUSE_NAME_BYTES.decode()
"""What the venue's own account is called; it is never added by a command."""


def names_in(data: bytes) -> dict[bytes, bytes]:
    """The fields that an event entry adds to the hash of names; empty for nearly all entries.

    Cost: one slice of the bytes where the entry defines nothing.
    """
    kinds = data[EVENT_HEADER.size :: EVENT_BYTES]
    if EventKind.ACCOUNT_ADDED not in kinds and EventKind.ASSET_ADDED not in kinds:
        return {}
    fields: dict[bytes, bytes] = {}
    entry = EventEntry(data)
    for event in entry:
        if event.kind == EventKind.ACCOUNT_ADDED:
            name = entry.parts(event)[0]
            fields[account_field(event.account)] = name
            fields[number_field(name)] = b"%d" % event.account
        elif event.kind == EventKind.ASSET_ADDED:
            packed, name, *_ = entry.parts(event)
            fields[asset_field(event.asset)] = b"%d %s" % (ASSET_DEFINITION.unpack_from(packed).scale, name)
    return fields


def account_field(number: int) -> bytes:
    return b"account:%d" % number


def number_field(name: bytes) -> bytes:
    return b"number:" + name


def asset_field(number: int) -> bytes:
    return b"asset:%d" % number


class Names:
    """What accounts and assets are called."""

    def __init__(self, fields: Mapping[bytes, bytes]) -> None:
        """`fields` are those of the hash of names, all or some of them."""
        self.assets: dict[int, Asset] = {}
        self._names: dict[int, str] = {HOUSE_ACCOUNT: HOUSE_NAME}
        for field, value in fields.items():
            kind, _, key = field.decode().partition(":")
            if kind == "account":
                self._names[int(key)] = value.decode()
            elif kind == "asset":
                scale, _, name = value.decode().partition(" ")
                self.assets[int(key)] = Asset(int(key), name, int(scale))
        self.asset_by_name = {asset.name: asset for asset in self.assets.values()}

    def account(self, number: int) -> str:
        """The name of an account, its number where it has none."""
        return self._names.get(number, f"#{number}")

    def asset(self, number: int) -> Asset:
        """The asset of this number.

        Raises:
            KeyError: none is listed.
        """
        return self.assets[number]
