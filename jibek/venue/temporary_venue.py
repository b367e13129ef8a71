"""A venue that runs as long as a command needs it, on a temporary folder or on a given one."""

from __future__ import annotations

import shutil
import socket
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path

from jibek.console.failure import fail
from jibek.console.output import print_line
from jibek.venue.folder import DataFolder
from jibek.venue.launch import LaunchFailed, VenueOptions, launch

CONNECTION_LIMITS = {"connections_per_5_min": 1_000_000}
"""For venues whose only clients are those of one command."""


@contextmanager
def temporary_venue(purpose: str) -> Iterator[Path]:
    """The data folder of a new venue with the default markets, which runs as long as the block. One address may open as many
    connections there as a command needs."""
    with temporary_folder(purpose) as folder:
        DataFolder(folder).create()
        venue = write_venue_file(folder / "venue.toml", CONNECTION_LIMITS)
        with launched_venue(VenueOptions(folder, venue=venue, port=free_port())):
            yield folder


def write_venue_file(path: Path, limits: Mapping[str, int]) -> Path:
    """Writes a venue.toml with the default markets and these limits in the tier `default`; its path."""
    default_venue = (files("engine") / "default_venue.toml").read_text()
    lines = ["", "[limits.default]", *(f"{name} = {number}" for name, number in limits.items()), ""]
    path.write_text(default_venue + "\n".join(lines))
    return path


@contextmanager
def launched_venue(options: VenueOptions) -> Iterator[None]:
    """A venue that runs as long as the block. It also ends with this process, however that ends.

    Raises:
        Failure: `jibek up` failed; the exit code is its own.
    """
    try:
        launched = launch(options, tied=True)
    except LaunchFailed as failed:
        fail(failed.exit_code, str(failed))
    try:
        launched.wait_until_ready()
        yield
    except LaunchFailed as failed:
        fail(failed.exit_code, str(failed))
    finally:
        launched.stop()


@contextmanager
def temporary_folder(purpose: str) -> Iterator[Path]:
    """A new folder that is deleted at the end; if the block fails it is kept, and standard error says where it is."""
    folder = Path(tempfile.mkdtemp(prefix=f"jibek-{purpose}-"))
    try:
        yield folder
    except Exception:
        print_line(f"The venue's data and logs are kept in {folder}.", err=True)
        raise
    except BaseException:
        shutil.rmtree(folder)
        raise
    shutil.rmtree(folder)


def free_port() -> int:
    """A port of this machine on which no process listens at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
