"""A venue on a temporary folder, for commands that need one for as long as they run."""

from __future__ import annotations

import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from jibek.launch import LaunchFailed, VenueOptions, launch
from ledger.console import fail


@contextmanager
def temporary_venue(purpose: str) -> Iterator[Path]:
    """The data folder of a new venue with the default markets, which runs as long as the block.

    It ends with this process, however that ends. The folder is deleted, unless the block failed: then its data and logs
    are kept, and where they are is said on standard error. Fails with the exit code of `jibek up` where that fails.
    """
    folder = Path(tempfile.mkdtemp(prefix=f"jibek-{purpose}-"))
    try:
        launched = launch(VenueOptions(folder, port=free_port()), tied=True)
        try:
            launched.wait_until_ready()
            yield folder
        except LaunchFailed as failed:
            fail(failed.exit_code, str(failed))
        finally:
            launched.stop()
    except Exception:
        click.echo(f"The venue's data and logs are kept in {folder}.", err=True)
        raise
    except BaseException:
        shutil.rmtree(folder)
        raise
    shutil.rmtree(folder)


def free_port() -> int:
    """A port of this machine that nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
