"""The certificate with which the gateway speaks TLS 1.2 and 1.3.

Both files are read at start and at SIGHUP, each time as a whole: a context is made of them or they are refused, so a
connection never sees a certificate with the key of another. Connections that are open keep the one they began with.
"""

from __future__ import annotations

import ssl
import stat
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

CERTIFICATE_BEGIN, CERTIFICATE_END = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
EXPIRES_SOON_DAYS = 14


class TlsRefused(Exception):
    """The files cannot be used; the text says why in one sentence."""


class Certificate(NamedTuple):
    """What new connections are answered with."""

    context: ssl.SSLContext
    valid_until: datetime

    def warning(self, now: datetime) -> str:
        """A sentence if the certificate has expired or is about to; else an empty string."""
        left = self.valid_until - now
        if left.total_seconds() < 0:
            return f"The certificate has expired on {self.valid_until:%Y-%m-%d}: clients will refuse it. Renew it and send SIGHUP."
        if left.days < EXPIRES_SOON_DAYS:
            return (
                f"The certificate is valid until {self.valid_until:%Y-%m-%d %H:%M} UTC only. Renew it and send SIGHUP."
            )
        return ""


def load_certificate(cert: Path, key: Path) -> Certificate:
    """Reads a certificate, with the chain behind it, and its key: PEM files.

    Raises:
        TlsRefused: a file cannot be read, the key can be read by others or has a password, or the two do not fit together.
    """
    pem = _read(cert, "certificate")
    _read(key, "key")
    valid_until = _valid_until(cert, pem)
    context = _context()
    try:
        if key.stat().st_mode & stat.S_IRWXO:
            raise TlsRefused(f"The key {key} can be read by every user of the machine: run `chmod o= {key}`")
        context.load_cert_chain(cert, key, password=_no_password)
    except _HasPassword:
        raise TlsRefused(f"The key {key} has a password: store it without one, readable by its owner alone") from None
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise TlsRefused(f"The key {key} is not that of the certificate {cert}") from None
        raise TlsRefused(f"{cert} and {key} cannot be used: {error.reason or error}") from None
    except OSError as error:
        # One of them is being replaced at this moment.
        raise TlsRefused(f"{cert} and {key} cannot be read: {error.strerror}") from None
    return Certificate(context, valid_until)


def leaf_of(cert: Path) -> str:
    """The certificate of the venue alone, in PEM, without the chain behind it.

    Raises:
        TlsRefused: the file cannot be read or holds no certificate.
    """
    pem = _read(cert, "certificate")
    begin, end = pem.find(CERTIFICATE_BEGIN), pem.find(CERTIFICATE_END)
    if not 0 <= begin < end:
        raise TlsRefused(f"{cert} holds no certificate in PEM form")
    return pem[begin : end + len(CERTIFICATE_END)] + "\n"


class _HasPassword(Exception):
    """The key is encrypted."""


def _no_password() -> str:
    # Without this, OpenSSL would ask for the password at the terminal.
    raise _HasPassword


def _context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # In TLS 1.2 a client could ask for handshake after handshake on one connection, each far dearer for us than for it.
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    context.set_alpn_protocols(["http/1.1"])
    return context


def _read(path: Path, what: str) -> str:
    # A pipe would hold up the gateway, and every client, until somebody writes into it.
    if path.exists() and not path.is_file() and not path.is_dir():
        raise TlsRefused(f"The {what} {path} cannot be read: it is not a file")
    try:
        return path.read_text("ascii", "replace")
    except OSError as error:
        raise TlsRefused(f"The {what} {path} cannot be read: {error.strerror}") from None


def _valid_until(cert: Path, pem: str) -> datetime:
    # Not above: it takes 50 ms, and commands without TLS import this module, too.
    from cryptography import x509

    try:
        return x509.load_pem_x509_certificate(pem.encode("ascii", "replace")).not_valid_after_utc
    except ValueError:
        raise TlsRefused(f"{cert} holds no certificate in PEM form") from None


def utc_now() -> datetime:
    return datetime.now(UTC)
