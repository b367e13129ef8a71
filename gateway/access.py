"""How clients reach the gateway: by TLS, through which proxies, from which web pages. An operator's choices, and their check.

`python -m gateway.service` and `jibek up` take the same options; `Access.arguments` is what the second passes on to the first.
"""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path
from typing import NamedTuple

from gateway.wire.addresses import TrustedProxies
from gateway.wire.origins import Origins
from gateway.wire.tls import Certificate, load_certificate

PROXY_PROTOCOL, FORWARDED_FOR = "proxy-protocol", "x-forwarded-for"
PROXY_HEADERS = (PROXY_PROTOCOL, FORWARDED_FOR)


class AccessRefused(Exception):
    """The options cannot be used together; the text says why in one sentence."""


class Access(NamedTuple):
    tls_cert: Path | None = None
    tls_key: Path | None = None
    trusted_proxies: tuple[str, ...] = ()
    """Each as ADDRESS or ADDRESS/BITS."""
    proxy_header: str | None = None
    """One of `PROXY_HEADERS`: where a trusted proxy says who the client is."""
    allow_origins: tuple[str, ...] = ()
    allow_hosts: tuple[str, ...] = ()

    @property
    def is_tls(self) -> bool:
        return self.tls_cert is not None

    def check(self) -> None:
        """
        Raises:
            AccessRefused: an option needs another, or its value is none.
        """
        if (self.tls_cert is None) != (self.tls_key is None):
            raise AccessRefused("TLS needs both --tls-cert and --tls-key")
        if bool(self.trusted_proxies) != (self.proxy_header is not None):
            raise AccessRefused("--trusted-proxy and --proxy-header need each other")
        try:
            TrustedProxies(self.trusted_proxies)
        except ValueError as error:
            raise AccessRefused(f"--trusted-proxy: {error}") from None
        try:
            self.origins("")
        except ValueError as error:
            raise AccessRefused(f"--allow-origin: {error}") from None

    def certificate(self) -> Certificate | None:
        """The certificate, as its files hold it now; None without TLS.

        Raises:
            TlsRefused: the files cannot be used.
        """
        if self.tls_cert is None or self.tls_key is None:
            return None
        return load_certificate(self.tls_cert, self.tls_key)

    def proxies(self, header: str) -> TrustedProxies:
        """The proxies that say in this header who the client is."""
        return TrustedProxies(self.trusted_proxies if header == self.proxy_header else ())

    def origins(self, bind_host: str) -> Origins:
        """The web pages that may speak to the venue."""
        return Origins(bind_host, is_tls=self.is_tls, allow_origins=self.allow_origins, allow_hosts=self.allow_hosts)

    def arguments(self) -> list[str]:
        """The options of `python -m gateway.service` that say the same. Relative paths become absolute."""
        files = [("--tls-cert", self.tls_cert), ("--tls-key", self.tls_key)]
        arguments = [part for option, path in files if path is not None for part in (option, str(path.absolute()))]
        for option, values in (
            ("--trusted-proxy", self.trusted_proxies),
            ("--allow-origin", self.allow_origins),
            ("--allow-host", self.allow_hosts),
        ):
            arguments += [part for value in values for part in (option, value)]
        if self.proxy_header is not None:
            arguments += ["--proxy-header", self.proxy_header]
        return arguments


def is_loopback(host: str) -> bool:
    """
    >>> is_loopback("127.0.0.1"), is_loopback("localhost"), is_loopback("0.0.0.0")
    (True, True, False)
    """
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def exposure_warning(host: str, access: Access) -> str:
    """A sentence if others can listen to what clients send, keys and orders among it; else an empty string."""
    if access.is_tls or is_loopback(host):
        return ""
    return (
        f"The venue listens on {host or 'every address'} without TLS, so everyone on the way can read and change what "
        "clients send. Start it with --tls-cert and --tls-key, or on 127.0.0.1 behind a proxy that speaks TLS: see "
        "docs/deployment.md."
    )
