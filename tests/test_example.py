"""The example client runs against a venue, unchanged."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.worlds.processes import WAIT_S
from tests.worlds.venue import VenueProcess

EXAMPLE = Path(__file__).parents[1] / "examples" / "place_order.py"


def test_it_places_sees_and_cancels_an_order(running_venue: VenueProcess) -> None:
    running_venue.json("account", "create", "example", "--deposit", "KZT=1000000")
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


def test_its_code_is_twenty_lines() -> None:
    code = EXAMPLE.read_text().split('"""')[2]
    assert len([line for line in code.splitlines() if line.strip()]) == 20
