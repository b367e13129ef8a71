"""Who the numbers are: the names of accounts and assets.

They are not part of the ledger, which knows only numbers: readers take names from the verified events.
"""

from __future__ import annotations

from collections.abc import Mapping

from engine.listing import Asset
from engine.records import ASSET_DEFINITION, EVENT_BYTES, EVENT_HEADER, HOUSE_ACCOUNT, EventEntry, EventKind
from engine.records import HOUSE_NAME as HOUSE_NAME_BYTES

HOUSE_NAME = HOUSE_NAME_BYTES.decode()
"""What the venue's own account is called; it is never added by a command."""


class Names:
    """What accounts and assets are called.

    Args:
        accounts: number -> name, without the house.
        assets: number -> asset.
    """

    def __init__(self, accounts: Mapping[int, str] | None = None, assets: Mapping[int, Asset] | None = None) -> None:
        self.assets: dict[int, Asset] = dict(assets or {})
        self._names: dict[int, str] = {**(accounts or {}), HOUSE_ACCOUNT: HOUSE_NAME}
        self._numbers = {name: number for number, name in self._names.items()}
        self.asset_by_name = {asset.name: asset for asset in self.assets.values()}

    def apply(self, data: bytes) -> None:
        """Takes in what an event entry defines; nearly all entries define nothing.

        Cost: one slice of the bytes where the entry defines nothing.
        """
        kinds = data[EVENT_HEADER.size :: EVENT_BYTES]
        if EventKind.ACCOUNT_ADDED not in kinds and EventKind.ASSET_ADDED not in kinds:
            return
        entry = EventEntry(data)
        for event in entry:
            if event.kind == EventKind.ACCOUNT_ADDED:
                name = entry.parts(event)[0].decode()
                self._names[event.account] = name
                self._numbers[name] = event.account
            elif event.kind == EventKind.ASSET_ADDED:
                packed, symbol, *_ = entry.parts(event)
                asset = Asset(event.asset, symbol.decode(), ASSET_DEFINITION.unpack_from(packed).scale)
                self.assets[asset.number] = self.asset_by_name[asset.name] = asset

    def account(self, number: int) -> str:
        """The name of an account, its number where it has none."""
        return self._names.get(number, f"#{number}")

    def number_of(self, name: str) -> int | None:
        """The number of the account of this name; None if there is none."""
        return self._numbers.get(name)

    def asset(self, number: int) -> Asset:
        """The asset of this number.

        Raises:
            KeyError: none is listed.
        """
        return self.assets[number]
