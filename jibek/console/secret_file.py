"""A new file for a secret: it exists, for its owner alone, before what it describes counts."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from engine.process import EXIT_REFUSED, EXIT_USAGE
from engine.process.private_files import sync_folder
from jibek.console.failure import fail
from jibek.console.standard_streams import Sentence


@contextmanager
def secret_file(path: Path) -> Iterator[Callable[[str], None]]:
    """Makes the file, and gives the function that writes its text and its name to disk. If the block is refused, the file is
    deleted; if its outcome is unknown, it stays, because the secret may count.

    Raises:
        Failure: exit code 2 if it cannot be made, or there is one; 1 if it cannot be written.
    """
    try:
        file = os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600), "w")
    except FileExistsError:
        fail(EXIT_USAGE, f"{path} exists already: name a new file with --output.")
    except OSError as error:
        fail(EXIT_USAGE, f"{path} cannot be made ({error.strerror}): name another file with --output.")

    def write(text: str) -> None:
        try:
            file.write(text + "\n")
            file.flush()
            os.fsync(file.fileno())
            sync_folder(path.parent)
        except OSError as error:
            fail(EXIT_REFUSED, f"{path} cannot be written ({error.strerror}): nothing was changed.")

    try:
        yield write
    except Sentence as failure:
        if failure.exit_code == EXIT_REFUSED:
            path.unlink(missing_ok=True)
        raise
    finally:
        # A failed write is tried again by close, and fails again.
        try:
            file.close()
        except OSError:
            path.unlink(missing_ok=True)
