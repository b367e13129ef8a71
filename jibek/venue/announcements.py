"""Which changes of state `jibek up` says: each trouble once when it begins, and once when it is over."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping

SAID_AFTER_S = 0.6
"""A trouble that is over sooner, such as a restart of the store, is not worth a line for every process that felt it."""

ONLY_COPY = "the only copy"
"""A trouble that says this ends the data if the store ends."""

_NUMBER = re.compile(r"\d[\d,.]*")


class Announcements:
    """Remembers what was said."""

    def __init__(self) -> None:
        self._begun: dict[str, tuple[str, float]] = {}
        """Name -> the kind of its trouble, and since when."""
        self._said: dict[str, str] = {}
        """Name -> the kind of trouble that was said last."""

    def lines(self, states: Mapping[str, str], now_s: float) -> list[str]:
        """What there is to say about these states, name -> state. Call it every time they are looked at."""
        found = []
        for name, state in states.items():
            kind = _kind(state)
            if not kind:
                self._begun.pop(name, None)
                if state == "ready" and self._said.pop(name, None) is not None:
                    found.append(f"{_subject(name)} is ready again.")
                continue
            before, since_s = self._begun.get(name, ("", now_s))
            if before != kind:
                since_s = now_s
                self._begun[name] = (kind, now_s)
            if now_s - since_s >= SAID_AFTER_S and self._said.get(name) != kind:
                self._said[name] = kind
                found.append(f"{_subject(name)}: {state.rstrip('.')}.")
        return found


def level_of(line: str) -> int:
    """The level in the log of a line of `Announcements`.

    >>> level_of("The store is ready again."), level_of("The engine: stopped answering 3 s ago.")
    (20, 30)
    """
    if line.endswith(" is ready again."):
        return logging.INFO
    return logging.ERROR if ONLY_COPY in line else logging.WARNING


def _subject(name: str) -> str:
    return "The venue" if name == "up" else f"The {name}"


def _kind(state: str) -> str:
    """What kind of trouble a state is: its words without numbers; empty if it is none, or has a line of its own.

    >>> _kind("stopped answering 12 s ago"), _kind("ready"), _kind("down: it crashed")
    ('stopped answering # s ago', '', '')
    """
    if state in ("ready", "starting") or state.startswith("down"):
        return ""
    return _NUMBER.sub("#", state)
