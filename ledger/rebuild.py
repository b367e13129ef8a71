"""How an operator has the ledger computed again from the events: by a file in the venue's folder.

`jibek ledger rebuild` writes it, whether the venue runs or not, and settlement obeys it within a fifth of a second, or when it
starts. So the cure is there when the ledger is what keeps a venue from starting.
"""

from __future__ import annotations

import json
import os
import time
from contextlib import suppress
from pathlib import Path

REQUEST_FILE = "rebuild-ledger.json"
LOOK_EVERY_S = 0.2
TEXT_MAX = 2_000
"""Characters of the file that get into a log line."""


class RebuildRequest:
    """The request, as settlement sees it.

    Args:
        data: the venue's folder; None if there is none to look into.
    """

    def __init__(self, data: Path | None) -> None:
        self._path = None if data is None else data / REQUEST_FILE
        self._look_at_s = 0.0

    def is_asked(self) -> bool:
        """Whether there is one. Cost: it looks into the folder five times a second."""
        if self._path is None or (now_s := time.monotonic()) < self._look_at_s:
            return False
        self._look_at_s = now_s + LOOK_EVERY_S
        return self._path.exists()

    def text(self) -> str:
        """Who asks and why, fit for a log line."""
        assert self._path is not None
        try:
            asked = json.loads(self._path.read_text())
            return json.dumps({"who": asked["who"], "why": asked["why"]})[:TEXT_MAX]
        except (OSError, ValueError, KeyError, TypeError):
            return "nobody said why"

    def forget(self) -> None:
        """Takes the request away: it is obeyed."""
        assert self._path is not None
        self._path.unlink(missing_ok=True)


def ask_for_rebuild(data: Path, *, who: str, why: str) -> None:
    """Leaves the request in the venue's folder.

    Raises:
        OSError: it cannot be written.
    """
    path = data / REQUEST_FILE
    draft = data / f"{REQUEST_FILE}.new"
    with suppress(FileNotFoundError):
        draft.unlink()
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "w") as file:
        json.dump({"who": who, "why": why}, file)
    draft.rename(path)


def is_asked_for(data: Path) -> bool:
    """Whether a request waits for the settlement."""
    return (data / REQUEST_FILE).exists()
