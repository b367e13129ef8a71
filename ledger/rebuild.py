"""How an operator has the ledger computed again from the events: by a file in the venue's folder.

`jibek ledger rebuild` writes it, whether the venue runs or not, and settlement obeys it within a fifth of a second, or when it
starts. So the cure is there when the ledger is what keeps a venue from starting.
"""

from __future__ import annotations

import json
import os
import stat
import time
from pathlib import Path

from engine.process.private_files import read_private_json, replace_private

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
        return _is_request(self._path)

    def text(self) -> str:
        """Who asks and why, fit for a log line."""
        assert self._path is not None
        try:
            asked = read_private_json(self._path)
            return json.dumps({name: asked[name] for name in ("who", "system_user", "why")})[:TEXT_MAX]
        except (OSError, ValueError, KeyError, TypeError):
            return "nobody said why"

    def forget(self) -> None:
        """Takes the request away: it is obeyed."""
        assert self._path is not None
        self._path.unlink(missing_ok=True)


def ask_for_rebuild(data: Path, *, who: str, why: str, system_user: str) -> None:
    """Leaves the request in the venue's folder. The log of the settlement has the three texts then.

    Args:
        who: the operator, as they call themselves.
        system_user: as the operating system does.

    Raises:
        OSError: it cannot be written.
    """
    replace_private(
        data / REQUEST_FILE, json.dumps({"who": who, "system_user": system_user, "why": why}).encode(), on_disk=True
    )


def is_asked_for(data: Path) -> bool:
    """Whether a request waits for the settlement."""
    return _is_request(data / REQUEST_FILE)


def _is_request(path: Path) -> bool:
    """Whether a file is there. A folder or a link of this name asks for nothing, and could not be taken away as one is."""
    try:
        return stat.S_ISREG(os.lstat(path).st_mode)
    except OSError:
        return False
