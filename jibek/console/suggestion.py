"""Commands that a sentence suggests: each names the data folder that the command was given.

A sentence writes `jibek down`, wherever it is made. Where it is shown, `--data DIR` is added, so that what an operator copies
acts on the same venue. Little is imported here: `jibek --help` passes through it.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click

DEFAULT_DATA_DIR = Path("jibek-data")

_SUGGESTED = re.compile(
    # Not where the words name the program that runs, as in "process 7, which is no `jibek up`".
    r"(?<!\bno )(?<!\bwhat )(?<!\bto )"
    r"`jibek (?P<words>(?:up|down|status|logs|reset|account|limits|market|clock|audit|ledger)\b[^`]*?)(?P<options> -[^`]*)?`"
    r"(?!, process| \(process| has )"
)


def with_folder(text: str, data_dir: Path | None = None) -> str:
    """The text; each command in it names the data folder, unless that is the default one.

    >>> with_folder("None runs: start one with `jibek up --port 9444`.", Path("/var/lib/jibek"))
    'None runs: start one with `jibek up --data /var/lib/jibek --port 9444`.'
    >>> with_folder("It is in use by `jibek up`, process 7: `jibek down` stops it.", Path("my venue"))
    "It is in use by `jibek up`, process 7: `jibek down --data 'my venue'` stops it."
    >>> with_folder("See `jibek status`.", DEFAULT_DATA_DIR)
    'See `jibek status`.'

    Args:
        data_dir: the folder; None for that of the command that runs in this thread, if it has one.
    """
    if data_dir is None:
        context = click.get_current_context(silent=True)
        data_dir = None if context is None else context.params.get("data_dir")
    if data_dir is None or data_dir.absolute() == DEFAULT_DATA_DIR.absolute():
        return text
    option = f" --data {shlex.quote(str(data_dir))}"

    def named(found: re.Match[str]) -> str:
        options = found["options"] or ""
        return found[0] if "--data" in options else f"`jibek {found['words']}{option}{options}`"

    return _SUGGESTED.sub(named, text)
