"""What the log says of clients: the first at once, the others once a minute, and never more than the bounds allow."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from gateway.incidents import MINUTE_MS, Incident, Incidents
from gateway.limits import INCIDENT_LINES_PER_MINUTE_MAX, INCIDENT_SUMMARIES_MAX

KEY = "5f2ab10c77e0" * 5
LOGS_PAGE = Path(__file__).parents[2] / "docs" / "logs.md"
WRONG, UNKNOWN = Incident.WRONG_SIGNATURE, Incident.UNKNOWN_KEY


def test_the_page_names_every_kind() -> None:
    page = LOGS_PAGE.read_text()
    for incident in Incident:
        assert incident.value.rpartition(": ")[2] in page, incident


class Heard(logging.Handler):
    """Keeps the lines, and the fields of each."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self.fields: list[Any] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())
        self.fields.append(record.fields)  # type: ignore[attr-defined]

    def take(self) -> list[str]:
        lines, self.lines = self.lines, []
        return lines


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def incidents(heard: Heard) -> Incidents:
    return new_incidents(heard)


def new_incidents(heard: Heard, **bounds: int) -> Incidents:
    log = logging.Logger("gateway")
    log.addHandler(heard)
    incidents = Incidents(log, **bounds)
    incidents.on_time(0)
    return incidents


def test_the_first_is_said_at_once_and_the_others_once_a_minute(incidents: Incidents, heard: Heard) -> None:
    for _ in range(1_000):
        incidents.note(WRONG, "192.0.2.1", KEY)
    assert heard.take() == ["bad signature from 192.0.2.1, key 5f2ab10c…"]
    incidents.on_time(MINUTE_MS)
    assert heard.take() == ["bad signature from 192.0.2.1, key 5f2ab10c…: 999 more, 1,000 in all"]
    assert heard.fields[-1] == {
        "incident": "WRONG_SIGNATURE", "address": "192.0.2.1", "key": "5f2ab10c…", "count": 999, "total": 1_000,
    }  # fmt: skip
    incidents.note(WRONG, "192.0.2.1", KEY)
    incidents.on_time(2 * MINUTE_MS - 1)
    assert heard.take() == []
    incidents.on_time(2 * MINUTE_MS)
    assert heard.take() == ["bad signature from 192.0.2.1, key 5f2ab10c…: 1 more, 1,001 in all"]
    incidents.on_time(3 * MINUTE_MS)
    assert heard.take() == []


def test_they_are_counted_by_address_and_by_key(incidents: Incidents) -> None:
    for address, key in (("a", KEY), ("a", KEY), ("b", KEY), ("a", "another key"), ("a", "")):
        incidents.note(WRONG, address, key)
    counts = [incidents.total(WRONG, address, key) for address, key in (("a", KEY), ("b", KEY), ("a", ""), ("c", KEY))]
    assert counts == [2, 1, 1, 0]


def test_a_made_up_key_is_escaped_cut_and_counts_for_its_address(incidents: Incidents, heard: Heard) -> None:
    for number in range(1_000):
        incidents.note(UNKNOWN, "a", unknown_key=f"\x1b[2J\n{number:010}")
    assert heard.take() == ["unknown key from a, key \\x1b[2J\\n00…"]
    assert len(incidents) == 1 and incidents.total(UNKNOWN, "a") == 1_000


def test_a_flood_from_everywhere_is_bounded_in_lines_and_memory(heard: Heard) -> None:
    incidents = new_incidents(heard, counted_max=500)
    for minute in range(1, 5):
        for number in range(2_000):
            incidents.note(WRONG, f"2001:db8:{number:x}::/64")
            incidents.note_ban(f"2001:db8:{number:x}::/64", 120)
        incidents.on_time(minute * MINUTE_MS)
        lines = heard.take()
        assert len(lines) <= INCIDENT_LINES_PER_MINUTE_MAX + INCIDENT_SUMMARIES_MAX + 1
        assert len(incidents) <= 500
    assert lines[-1].startswith("from other addresses and with other keys: ")
    assert sum(heard.fields[-1]["others"].values()) + INCIDENT_LINES_PER_MINUTE_MAX + INCIDENT_SUMMARIES_MAX == 4_000


def test_one_that_did_not_occur_for_a_minute_makes_room(heard: Heard) -> None:
    incidents = new_incidents(heard, counted_max=2)
    for address in "abc":
        incidents.note(WRONG, address)
    incidents.on_time(3 * MINUTE_MS)
    incidents.note(WRONG, "d")
    assert incidents.total(WRONG, "d") == 1 and incidents.total(WRONG, "a") == 0
    assert "bad signature from d" in heard.take()


def test_a_ban_says_what_led_to_it(incidents: Incidents, heard: Heard) -> None:
    for incident, count in ((WRONG, 48), (Incident.UNREADABLE, 2), (Incident.IDLE, 9)):
        incidents.note(incident, "192.0.2.1", count=count)
    incidents.note(UNKNOWN, "192.0.2.2")
    incidents.note_ban("192.0.2.1", 120)
    assert heard.take()[-1] == (
        "banned 192.0.2.1 for 120 s: it failed too often (bad signature 48, unreadable message 2)"
    )


def test_idle_clients_are_in_the_summary_alone(incidents: Incidents, heard: Heard) -> None:
    incidents.note(Incident.IDLE, "192.0.2.1")
    assert heard.take() == []
    incidents.on_time(MINUTE_MS)
    assert heard.take() == ["connection ended: idle from 192.0.2.1: 1 more, 1 in all"]


def test_at_the_end_everything_is_said(incidents: Incidents, heard: Heard) -> None:
    for _ in range(3):
        incidents.note(Incident.NO_PLACE, "")
    incidents.close()
    assert heard.take() == [
        "turned away: all connections are taken", "turned away: all connections are taken: 2 more, 3 in all",
    ]  # fmt: skip
