"""What to do about the known reasons for which a process ends: one row each.

The words are those of Valkey, Redis, Python, and the venue's own processes. A text of the venue that says itself what to do
has no row.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from jibek.venue.pdeathsig import NO_PROGRAM


class Cure(NamedTuple):
    """A known cause and what helps."""

    words: re.Pattern[str]
    """What a process says that ends of it."""
    text: str
    passes: str = ""
    """Why it waits, if the cause may go away without anybody touching the process: it is tried again for as long as it takes."""


def _row(words: str, text: str, *, passes: str = "") -> Cure:
    return Cure(re.compile(words, re.IGNORECASE), text, passes)


# The first row that fits counts.
CURES = (
    _row(
        NO_PROGRAM,
        "Its program is missing, or cannot be run: put it back, or install it again.",
        passes="its program cannot be run",
    ),
    _row(
        "can't open config file",
        "The store's configuration was removed at this moment: it is written again at the next start.",
        passes="its configuration was removed",
    ),
    _row(
        "no space left on device|disk quota exceeded|short write while writing to the AOF|error writing to the AOF",
        "The disk is full: make room in the data folder, and start again.",
        passes="the disk takes no writes",
    ),
    _row(
        "read-only file system",
        "The disk of the data folder is read-only: look at `dmesg`, and mount it for writing.",
        passes="the disk takes no writes",
    ),
    _row("cannot listen on|address already in use", "The port is taken: stop what listens there, or choose another with --port."),
    _row("too many open files", "There are too few file descriptors: raise the limit (`ulimit -n`, LimitNOFILE= of systemd)."),
    _row(
        "cannot allocate memory|memoryerror|out of memory|resource temporarily unavailable",
        "The machine has too little memory, or too few processes are allowed: give it more, or set less with --store-memory.",
    ),
    _row(
        "bad file format reading the append only file|unexpected end of file reading the append only file|"
        "AOF loading.*(corrupt|failed)|short read or OOM loading DB|wrong signature|RDB file",
        "The files of the store are damaged: put back the last backup of the data folder.",
    ),
    _row(
        "unable to obtain the AOF file|AOF file .*doesn't exist|AOF manifest",
        "A file of the store is missing: put the folder of the store back from a backup.",
    ),
    _row(
        "does not follow",
        "Entries of the store were changed or lost, or it is a copy of another time: put back the last backup of the data folder.",
    ),
    _row(
        "connection closed by server",
        "If the store still runs, it closed this connection to save memory: start again with a larger `--store-memory`, or raise "
        "`maxmemory-clients` of a store of your own.",
    ),
    _row(
        "WRONGPASS|NOAUTH|invalid username-password|authentication required",
        "The store wants another user or password: correct the URL in JIBEK_STORE or in the file of --store-file.",
    ),
    _row(
        "the functions .* are not those of this version",
        "A file of the store is damaged, or another version of Jibek has written this venue: start it with that version, or put "
        "back the last backup of the data folder.",
    ),
    _row(
        "can't handle RDB format version|unknown.*AOF|AOF format",
        "A newer server has written the files of the store: start it with that version, by --store-binary or --store.",
    ),
    _row(
        "append-only file.*permission denied|permission denied",
        "Files of the data folder belong to another user: run the venue as their owner, or give them to its user (`chown -R`).",
    ),
    _row(
        "no module named|undefined symbol|cannot open shared object|wrong ELF class|version mismatch",
        "Parts of Jibek are not built for this Python: run `make build`, or install the wheel again.",
    ),
    _row(
        "rules of version|rules version|has version",
        "Another version of Jibek has written this venue: start it with that version.",
    ),
    _row(
        "old copy of the store|the store ends before",
        "The store has lost its last entries: put back its newest files; docs/reliability.md says what is known.",
    ),
    _row(
        "no such file or directory",
        "A file or folder is missing: put back what is named there, from a backup if it is of the data folder.",
    ),
)  # fmt: skip


def cure_of(said: str) -> str:
    """What to do about what a process has said; the empty text if nothing is known.

    >>> cure_of("OSError: [Errno 24] Too many open files")[:34]
    'There are too few file descriptors'
    """
    return next((cure.text for cure in CURES if cure.words.search(said)), "")


def passing_cause(said: str) -> str:
    """Of what a process has ended, by its own words, if that may go away by itself; else the empty text.

    >>> passing_cause("# Short write while writing to the AOF file: (nwritten=7, expected=9)"), passing_cause("bye bye")
    ('the disk takes no writes', '')
    """
    return next((cure.passes for cure in CURES if cure.passes and cure.words.search(said)), "")


def with_cure(sentences: Iterable[str], said: str) -> str:
    """Sentences, and the cure after them if one is known."""
    return " ".join(filter(None, [*sentences, cure_of(said)]))
