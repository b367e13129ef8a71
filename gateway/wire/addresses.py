"""Addresses of clients: in one form, as limits count them, and as a trusted proxy passes them on.

A client with IPv6 has at least a /64 network of its own, so limits count that and not one of its 2^64 addresses. Whatever
names one client exactly, such as the allow-list of a key, takes the address itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from gateway.limits import ADDRESSES_REMEMBERED_MAX

IPV6_CLIENT_BITS = 64
Network = IPv4Network | IPv6Network


def canonical(text: str) -> str:
    """An address in its one form: an IPv4 address inside an IPv6 one as IPv4, and without the name of an interface.

    >>> canonical("::ffff:192.0.2.1"), canonical("2001:DB8:0::1"), canonical("fe80::1%eth0")
    ('192.0.2.1', '2001:db8::1', 'fe80::1')

    Raises:
        ValueError: it is no address.
    """
    return str(_parsed(text))


@lru_cache(ADDRESSES_REMEMBERED_MAX)
def counted_as(ip: str) -> str:
    """The name under which limits count an address: IPv6 by its /64 network, anything else as it is.

    >>> counted_as("192.0.2.1"), counted_as("2001:db8:1:2:3::4")
    ('192.0.2.1', '2001:db8:1:2::/64')
    """
    if ":" not in ip:
        return ip
    try:
        address = _parsed(ip)
    except ValueError:
        return ip
    if isinstance(address, IPv4Address):
        return str(address)
    return str(IPv6Network((address, IPV6_CLIENT_BITS), strict=False))


class TrustedProxies:
    """The proxies that are believed when they say who the client is.

    Args:
        networks: each as `ADDRESS` or `ADDRESS/BITS`.

    Raises:
        ValueError: one is no network, or has bits behind its prefix.
    """

    def __init__(self, networks: Iterable[str] = ()) -> None:
        self._networks: list[Network] = [ip_network(text) for text in networks]

    def __bool__(self) -> bool:
        return bool(self._networks)

    def trust(self, ip: str) -> bool:
        """Whether it is the address of one of them."""
        if not self._networks:
            return False
        try:
            address = _parsed(ip)
        except ValueError:
            return False
        return any(address in network for network in self._networks)

    def client_behind(self, peer: str, forwarded_for: str) -> str:
        """The client of a request that came from `peer` with this X-Forwarded-For.

        That is the rightmost address that is no trusted proxy: what is left of it, the client may have written itself.
        Where a proxy has passed on something that is no address, that proxy counts as the client.
        """
        client = peer
        hops = forwarded_for.split(",") if forwarded_for else []
        while hops and self.trust(client):
            try:
                client = canonical(_without_port(hops.pop().strip()))
            except ValueError:
                break
        return client


def _parsed(text: str) -> IPv4Address | IPv6Address:
    address = ip_address(text.partition("%")[0])
    return getattr(address, "ipv4_mapped", None) or address


def _without_port(text: str) -> str:
    """Some proxies write `192.0.2.1:4711` and `[2001:db8::1]:4711`."""
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.partition(":")[0] if text.count(":") == 1 else text
