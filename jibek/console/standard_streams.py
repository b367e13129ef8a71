"""The edge between a command and the streams that it was started with, which may be closed, full, or of another encoding.

Little is imported here: `jibek --help` passes through it.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import click

from jibek.console.printable import excerpt, printable_block
from jibek.console.suggestion import with_folder

STREAM_ERRORS = frozenset({errno.EPIPE, errno.ENOSPC, errno.EIO, errno.EBADF, errno.EDQUOT, errno.EFBIG})
"""With these a stream refuses what is written to it; such an error names no file."""

CHANGE_PARAMETER = "who"
"""What a command has that changes something, and no other."""
EXIT_READ_NO_MORE = 141
"""As a shell shows a program that SIGPIPE has ended."""


class Sentence(click.ClickException):
    """Ends the command with one sentence on standard error and an exit code."""

    def __init__(self, text: str, exit_code: int = 1) -> None:
        super().__init__(with_folder(text))
        self.exit_code = exit_code  # type: ignore[misc]

    def show(self, file: Any = None) -> None:
        with suppress(OSError):
            click.echo(printable_block(self.format_message()), err=True)


class OutputLost(Sentence):
    """Standard output does not take what a command prints."""

    def __init__(self, error: OSError | None) -> None:
        """`error` is what the system says; None if it was closed from the beginning."""
        self.reason = "it is closed" if error is None else error.strerror or str(error)
        context = click.get_current_context(silent=True)
        changes = context is not None and CHANGE_PARAMETER in context.params
        is_read_no_more = error is not None and error.errno == errno.EPIPE
        self.is_quiet = is_read_no_more and not changes
        """Whether the reader of a pipe has seen enough of what a command only shows: nothing is wrong then."""
        super().__init__(
            f"Standard output cannot be written ({self.reason}): something may be missing there."
            + (" `jibek audit` shows what was changed." if changes else ""),
            EXIT_READ_NO_MORE if self.is_quiet else 1,
        )

    def show(self, file: Any = None) -> None:
        if not self.is_quiet:
            super().show(file)


def run(command: Callable[[], Any], *, needs_output: bool = True) -> int:
    """Runs a command, and returns its exit code. Whatever ends it is one sentence on standard error.

    Args:
        command: a click command in `standalone_mode=False`.
        needs_output: whether it prints data. If so and standard output is closed, it is refused before it begins.
    """
    is_closed = sys.stdout is None
    hold_descriptors()
    try:
        if needs_output and is_closed:
            raise OutputLost(None)
        code = command()
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except click.ClickException as failure:
        _show(failure)
        return failure.exit_code
    except click.exceptions.Exit as ended:
        return ended.exit_code
    except click.Abort:
        _show(Sentence("Aborted!"))
        return 1
    except OSError as error:
        refusal = of_system(error)
        _show(refusal)
        return int(refusal.exit_code)
    finally:
        drop_what_is_left()


def of_system(error: OSError) -> Sentence:
    """What the system refuses, as a sentence."""
    if error.filename is None and error.errno in STREAM_ERRORS:
        return OutputLost(error)
    place = "" if error.filename is None else f" ({excerpt(os.fsdecode(error.filename))})"
    return Sentence(
        f"The system says: {error.strerror or error}{place}.", 2 if error.errno == errno.ENAMETOOLONG else 1
    )


def hold_descriptors() -> None:
    """Opens /dev/null in the place of each standard stream that is closed, so that no file or connection gets its number and is
    written to by mistake. Characters that a stream cannot encode are escaped from now on."""
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            # The lowest free number is the one that is missing.
            os.open(os.devnull, os.O_RDWR)
    # Python has left these out; others rely on them.
    sys.stdout = sys.stdout or os.fdopen(os.open(os.devnull, os.O_WRONLY), "w")
    sys.stderr = sys.stderr or os.fdopen(os.open(os.devnull, os.O_WRONLY), "w")
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def drop_what_is_left() -> None:
    """Turns a standard stream that refuses what is written away, so that Python does not try again at its end, complain, and
    end with an exit code of its own."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            with suppress(OSError, ValueError):
                null = os.open(os.devnull, os.O_WRONLY)
                os.dup2(null, stream.fileno())
                os.close(null)


def _show(failure: click.ClickException) -> None:
    failure.message = printable_block(failure.message)  # type: ignore[misc]
    with suppress(OSError):
        failure.show()
