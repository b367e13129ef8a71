"""What `jibek up` says of changes, and how often."""

from __future__ import annotations

import logging

from jibek.venue.announcements import SAID_AFTER_S, Announcements, level_of

LATER_S = SAID_AFTER_S + 0.1


def said(*states: str, step_s: float = LATER_S) -> list[str]:
    """The lines for an engine that goes through these states."""
    announcements = Announcements()
    lines = []
    for number, state in enumerate(states):
        lines += announcements.lines({"engine": state}, number * step_s)
    return lines


def test_a_trouble_is_said_once_when_it_lasts_and_once_when_it_is_over() -> None:
    silent = [f"stopped answering {seconds} s ago" for seconds in range(2, 9)]
    assert said("ready", *silent, "ready", "ready") == [
        "The engine: stopped answering 3 s ago.",
        "The engine is ready again.",
    ]


def test_a_short_trouble_is_not_said() -> None:
    assert said("ready", "trouble: store: it is away", "ready", step_s=SAID_AFTER_S / 3) == []


def test_another_trouble_is_said_too() -> None:
    first, second = "trouble: store: it is away", "trouble: watermark: it cannot be written"
    assert said(first, first, second, second, "ready") == [
        f"The engine: {first}.",
        f"The engine: {second}.",
        "The engine is ready again.",
    ]


def test_what_has_a_line_of_its_own_is_left_out() -> None:
    assert said("starting", "starting", "down: it crashed", "down: it crashed") == []


def test_the_supervisor_is_the_venue() -> None:
    announcements = Announcements()
    announcements.lines({"up": "trouble: the disk is full."}, 0.0)
    assert announcements.lines({"up": "trouble: the disk is full."}, LATER_S) == [
        "The venue: trouble: the disk is full."
    ]


def test_troubles_are_no_mere_information() -> None:
    trouble = "trouble: files of the store were removed (a). Its memory is the only copy: do not stop the venue"
    assert [level_of(line) for line in said("trouble: store: it is away", "trouble: store: it is away", trouble, trouble, "ready")] == [
        logging.WARNING, logging.ERROR, logging.INFO,
    ]  # fmt: skip
