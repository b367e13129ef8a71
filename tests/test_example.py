"""The example client runs against a venue, unchanged."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.worlds.processes import WAIT_S
from tests.worlds.venue import VenueProcess

EXAMPLE = Path(__file__).parents[1] / "examples" / "place_order.py"


def test_it_places_sees_and_cancels_an_order(running_venue: VenueProcess) -> None:
    running_venue.json("account", "create", "example", "--deposit", "KZT=1000000", "--why", "test")
    made = running_venue.json("account", "key", "example", "--type", "hmac")
    result = subprocess.run(
        [sys.executable, str(EXAMPLE)],
        env={
            **os.environ,
            "JIBEK_URL": made["urls"]["ws_api"],
            "JIBEK_KEY": made["key"],
            "JIBEK_SECRET": made["secret"],
        },
        capture_output=True,
        text=True,
        timeout=WAIT_S,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    replies = [json.loads(line) for line in result.stdout.splitlines()]
    assert [(reply["id"], reply["status"], reply["result"]["status"]) for reply in replies] == [
        ("order.place", 200, "NEW"),
        ("order.status", 200, "NEW"),
        ("order.cancel", 200, "CANCELED"),
    ]


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({}, "Set JIBEK_KEY and JIBEK_SECRET: `jibek account key NAME --type hmac` prints them."),
        (
            {"JIBEK_KEY": "k", "JIBEK_SECRET": "s", "JIBEK_URL": "ws://127.0.0.1:1"},
            "No venue answers at ws://127.0.0.1:1: ",
        ),
    ],
)
def test_what_it_lacks_is_said_in_one_sentence(variables: dict[str, str], said: str) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("JIBEK_")}
    result = subprocess.run(
        [sys.executable, str(EXAMPLE)],
        env=environment | variables,
        capture_output=True,
        text=True,
        timeout=WAIT_S,
        check=False,
    )
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.startswith(said) and len(result.stderr.splitlines()) == 1


def test_a_refusal_ends_it_after_the_reply(running_venue: VenueProcess) -> None:
    result = subprocess.run(
        [sys.executable, str(EXAMPLE)],
        env={
            **os.environ,
            "JIBEK_URL": f"ws://127.0.0.1:{running_venue.facts()['port']}/ws-api/v3",
            "JIBEK_KEY": "unknown",
            "JIBEK_SECRET": "s",
        },
        capture_output=True,
        text=True,
        timeout=WAIT_S,
        check=False,
    )
    assert (result.returncode, result.stderr) == (1, "The venue refused the request.\n")
    assert json.loads(result.stdout)["status"] == 401
