"""How many connections are open: in all, and of each address. Each has a place, which it leaves when it ends.

Cost: O(1). The table has no more addresses than there are connections.
"""

from __future__ import annotations

from gateway.wire.addresses import counted_as


class Places:
    """
    Args:
        all_max: connections at a time.
        address_max: connections of one address at a time.
    """

    def __init__(self, all_max: int, address_max: int) -> None:
        self.all_max = all_max
        self.address_max = address_max
        self.taken = 0
        self._of_address: dict[str, int] = {}

    def take(self) -> Place | None:
        """A place for a connection of which nothing is known; None if all are taken."""
        if self.taken >= self.all_max:
            return None
        self.taken += 1
        return Place(self)

    def count_of(self, ip: str) -> int:
        """How many connections the address has."""
        return self._of_address.get(counted_as(ip), 0)

    def _enter(self, name: str) -> bool:
        count = self._of_address.get(name, 0)
        if count >= self.address_max:
            return False
        self._of_address[name] = count + 1
        return True

    def _leave(self, name: str) -> None:
        count = self._of_address[name] - 1
        if count:
            self._of_address[name] = count
        else:
            del self._of_address[name]


class Place:
    """The place of one connection. `ip` is empty until its client is known; `is_proxy` says that others speak through it."""

    __slots__ = ("_is_left", "_name", "_places", "ip", "is_proxy")

    def __init__(self, places: Places) -> None:
        self._places = places
        self._name = ""
        self._is_left = False
        self.ip = ""
        self.is_proxy = False

    def belongs_to(self, ip: str) -> bool:
        """Counts the connection for the address of its client; False, and it is not counted, if that has as many as it may."""
        assert not self._name and not self._is_left, "a place has one client"
        self.ip = ip
        name = counted_as(ip)
        if not self._places._enter(name):
            return False
        self._name = name
        return True

    def leave(self) -> None:
        """The connection has ended. May be called more than once."""
        if self._is_left:
            return
        self._is_left = True
        self._places.taken -= 1
        if self._name:
            self._places._leave(self._name)
