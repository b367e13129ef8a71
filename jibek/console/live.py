"""What a command shows while it works: a progress bar, or a view that is drawn in place.

On a terminal rich draws it; elsewhere it is plain lines of text, or nothing. rich is imported only in the first case.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from jibek.console.output import print_line

if TYPE_CHECKING:
    from rich.console import RenderableType

DRAW_INTERVAL_S = 0.25
LINE_INTERVAL_S = 1.0

T = TypeVar("T")

Progress = Callable[[int, int], None]
"""Called with how many items are done and how many there are."""


@contextmanager
def progress_shown(text: str) -> Iterator[Progress]:
    """A progress bar on standard error if that is a terminal, else nothing."""
    if not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import Progress as ProgressBar

    with ProgressBar(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(text)
        yield lambda done, total: bar.update(task, completed=done, total=total)


@contextmanager
def live_view(
    draw: Callable[[T], RenderableType], line: Callable[[T], str], *, stderr: bool, transient: bool
) -> Iterator[tuple[Callable[[T], None], float]]:
    """How to show a value that changes, and every how many seconds.

    Args:
        draw: the value as it is drawn in place on a terminal.
        line: the value as one line of plain text, printed elsewhere.
        stderr: whether it goes to standard error.
        transient: whether the drawing is wiped out at the end.
    """
    if not (sys.stderr if stderr else sys.stdout).isatty():
        yield lambda value: print_line(line(value), err=stderr), LINE_INTERVAL_S
        return
    from rich.console import Console
    from rich.live import Live

    with Live(console=Console(stderr=stderr), auto_refresh=False, transient=transient) as live:
        yield lambda value: live.update(draw(value), refresh=True), DRAW_INTERVAL_S
