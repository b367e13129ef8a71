"""Which web pages may speak to the venue through the browser of somebody who looks at them.

A browser opens a WebSocket to any address for any page, with the address of its user. It names the page in `Origin`, and
the name under which it found the venue in `Host`. So where an Origin is sent,

    Origin   must be of the same scheme, name and port as Host, or one that the operator allows;
    Host     must be a name under which the venue is meant to be found, or else a page whose own name leads to 127.0.0.1
             would be of the same origin ("DNS rebinding").

Trading libraries send no Origin; they are no browser and are not asked.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from ipaddress import ip_address
from typing import NamedTuple
from urllib.parse import urlsplit

_PORTS = {"http": 80, "https": 443}
_ANYWHERE = ("", "0.0.0.0", "::")


class Origin(NamedTuple):
    """The origin of a page, as RFC 6454 has it."""

    scheme: str
    host: str
    port: int


def read_origin(text: str) -> Origin:
    """
    >>> read_origin("https://Trade.example")
    Origin(scheme='https', host='trade.example', port=443)

    Raises:
        ValueError: it is not `http://NAME[:PORT]` or `https://NAME[:PORT]`; `null` is none either.
    """
    parts = urlsplit(text)
    port = parts.port
    if parts.scheme not in _PORTS or not parts.hostname or text != f"{text.partition('://')[0]}://{parts.netloc}":
        raise ValueError(f"{text!r} is no origin: it is http://NAME or https://NAME, with a port where it has one")
    if "@" in parts.netloc:
        raise ValueError(f"{text!r} is no origin: it has a user")
    return Origin(parts.scheme, parts.hostname, port if port is not None else _PORTS[parts.scheme])


class Origins:
    """The pages that may speak to the venue.

    Args:
        bind_host: the address that the gateway listens on.
        is_tls: whether clients come by TLS to the gateway itself; then a page that came without is not of its origin.
        allow_origins: pages that may, wherever the venue is found.
        allow_hosts: further names under which the venue is found, without a port.

    Raises:
        ValueError: an origin is none.
    """

    def __init__(
        self,
        bind_host: str,
        *,
        is_tls: bool = False,
        allow_origins: Iterable[str] = (),
        allow_hosts: Iterable[str] = (),
    ) -> None:
        self._bind_host = bind_host.lower()
        self._is_tls = is_tls
        self._origins = frozenset(read_origin(text) for text in allow_origins)
        self._hosts = frozenset(name.lower().strip("[]").rstrip(".") for name in allow_hosts)

    def allow(self, headers: Mapping[bytes, bytes]) -> bool:
        """Whether a request with these headers may come: it has no Origin, or one that is allowed and a Host that is ours."""
        text = headers.get(b"origin")
        if text is None:
            return True
        try:
            origin = read_origin(text.decode("ascii"))
            host = urlsplit(f"//{headers.get(b'host', b'').decode('ascii')}")
            name, port = (host.hostname or "").rstrip("."), host.port or _PORTS[origin.scheme]
        except ValueError:
            return False
        if not self._is_ours(name):
            return False
        is_same = (origin.host.rstrip("."), origin.port) == (name, port) and (
            origin.scheme == "https" or not self._is_tls
        )
        return is_same or origin in self._origins

    def _is_ours(self, name: str) -> bool:
        """Whether the venue is meant to be found under this name. Where it listens on all addresses, each of them is: no name
        leads there but the address itself."""
        if name in ("localhost", self._bind_host) or name in self._hosts:
            return bool(name)
        try:
            return ip_address(name).is_loopback or self._bind_host in _ANYWHERE
        except ValueError:
            return False
