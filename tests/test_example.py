"""The example client runs against a venue, unchanged."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from websockets.sync.server import ServerConnection, serve

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


def test_an_unknown_outcome_is_no_refusal() -> None:
    """A venue that knows no outcome: the example asks for the order by its name, and does not call it refused."""
    asked = []

    def answer(venue: ServerConnection) -> None:
        for text in venue:
            asked.append(request := json.loads(text))
            venue.send(json.dumps({"id": request["id"], "status": 504, "error": {"code": -1007, "msg": "unknown"}}))

    with serve(answer, "127.0.0.1", 0) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"ws://127.0.0.1:{server.socket.getsockname()[1]}"
        environment = {**os.environ, "JIBEK_KEY": "k", "JIBEK_SECRET": "s", "JIBEK_URL": url}
        result = subprocess.run(
            [sys.executable, str(EXAMPLE)], env=environment, capture_output=True, text=True, timeout=WAIT_S, check=False
        )
        server.shutdown()
    place, status = asked
    name = place["params"]["newClientOrderId"]
    assert (status["id"], status["params"]["origClientOrderId"]) == ("order.status", name)
    assert result.stderr == f"The outcome is unknown: ask order.status for {name} again.\n"
