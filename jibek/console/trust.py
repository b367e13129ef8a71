"""Which certificates this process accepts, by the host and port of a venue; of other places those that the system trusts.

A venue that runs here is known by its own certificate file: no authority need vouch for it, and its name need not be the
address at which it is found. One elsewhere is known by an authority, `--ca`, and by its name.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

NAME_MISMATCHES = (62, 64)
"""OpenSSL's codes for a certificate of another host, or of another address."""


class Trust(NamedTuple):
    """What is trusted at one place."""

    context: Callable[[], ssl.SSLContext]
    is_of_file: bool
    """Whether it is the certificate file of a venue that runs here."""


_contexts: dict[str, Trust] = {}
"""Host and port, as in a URL → what is trusted there."""


def trust_certificate(url: str, cert: Path) -> None:
    """Accepts this certificate at the place of the URL, and no other. The file is read when it is needed."""

    def context() -> ssl.SSLContext:
        from gateway.wire.tls import TlsRefused, leaf_of

        try:
            made = ssl.create_default_context(cadata=leaf_of(cert))
        except TlsRefused as refused:
            raise ConnectionError(str(refused)) from None
        # Only the certificate itself is an anchor, no matter who has signed it, so that its name says nothing more.
        made.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        made.check_hostname = False
        return made

    _contexts[urlsplit(url).netloc] = Trust(context, is_of_file=True)


def trust_authority(url: str, authority: Path) -> None:
    """Accepts at the place of the URL what this authority vouches for, by name.

    Raises:
        OSError: the file cannot be read, or holds no certificate.
    """
    made = ssl.create_default_context(cafile=authority)
    _contexts[urlsplit(url).netloc] = Trust(lambda: made, is_of_file=False)


def transport_hint(url: str, error: Exception) -> str:
    """What may be wrong if a connection to this URL fails so, as a sentence with a space before it; else an empty string.

    >>> transport_hint("ws://venue.example:9443", ConnectionResetError())
    ' Does it speak TLS? Use wss://.'
    """
    if isinstance(error, ssl.SSLCertVerificationError):
        found = _contexts.get(urlsplit(url).netloc)
        if found is not None and found.is_of_file:
            return " It does not show the certificate of its file: send SIGHUP to `jibek up`."
        if error.verify_code in NAME_MISMATCHES:
            return " Use a name that its certificate has."
        return " Its certificate is not trusted: name the authority that signed it with --ca FILE."
    if isinstance(error, ssl.SSLError):
        return " Does it speak TLS? If not, use ws://."
    is_plain = urlsplit(url).scheme in ("ws", "http")
    return (
        " Does it speak TLS? Use wss://."
        if is_plain and isinstance(error, (ConnectionResetError, HTTPException))
        else ""
    )


def context_for(url: str) -> ssl.SSLContext | None:
    """What a connection to this URL is encrypted with; None where it is not.

    >>> context_for("ws://127.0.0.1:9443/ws")

    Raises:
        ConnectionError: the certificate of the venue cannot be read.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("wss", "https"):
        return None
    found = _contexts.get(parts.netloc)
    return ssl.create_default_context() if found is None else found.context()
