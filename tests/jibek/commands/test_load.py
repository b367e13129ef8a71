"""`jibek load`: whole runs against a venue, and wrong usage."""

from __future__ import annotations

import json

import pytest

from tests.worlds.venue import VenueProcess


@pytest.mark.parametrize("signature", ["session", "hmac", "ed25519"])
def test_a_closed_loop_places_what_was_asked_for(running_venue: VenueProcess, signature: str) -> None:
    found = running_venue.json(
        "load", "--orders", "300", "--clients", "3", "--in-flight", "8", "--signature", signature, "--market", "ETHKZT"
    )  # fmt: skip
    assert found["orders"] == 300
    assert found["cancels"] > 50
    assert found["fills"] >= 60
    assert found["refusals"] == {}
    assert found["unknown"] == 0
    latency = found["latency"]
    assert 0 < latency["p50_us"] <= latency["p99_us"] <= latency["p99.9_us"] <= latency["max_us"]
    assert {"gateway", "engine", "settlement", "store", "generator"} <= found["cpu_us_per_request"].keys()
    assert resting_orders(running_venue, "ETHKZT") == 0


def test_an_open_loop_keeps_its_schedule(running_venue: VenueProcess) -> None:
    found = running_venue.json(
        "load", "--rate", "400", "--orders", "200", "--clients", "2", "--mix", "trade", "--market", "ETHKZT"
    )  # fmt: skip
    assert found["orders"] == 200
    # The last of 200 was due after 199 of 400 parts of a second.
    assert found["seconds"] >= 199 / 400
    assert found["in_flight"] is None


def test_a_load_whose_every_order_is_refused_fails_and_names_the_reasons(running_venue: VenueProcess) -> None:
    halted = running_venue.jibek("market", "halt", "BTCKZT", "--why", "a test")
    assert halted.returncode == 0, halted.stderr
    try:
        result = running_venue.jibek(
            "load", "--orders", "40", "--clients", "1", "--mix", "trade", "--market", "BTCKZT", "--json"
        )
    finally:
        running_venue.jibek("market", "resume", "BTCKZT", "--why", "a test")
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1] == "Every order was refused: Market is closed. (-2010)"
    found = json.loads(result.stdout)
    (reason,) = found["refusals"]
    assert reason == "Market is closed. (-2010)"
    assert found["refusals"][reason] == 40
    assert (found["orders"], found["orders_accepted"], found["orders_per_second"], found["fills"]) == (40, 0, 0, 0)


def test_a_venue_is_loaded_by_its_url_alone(running_venue: VenueProcess) -> None:
    running_venue.json(
        "account", "create", "loader", "--deposit", "ETH=1000", "--deposit", "KZT=9000000", "--why", "test"
    )
    key = running_venue.json("account", "key", "loader", "--type", "ed25519")
    private_key = running_venue.data / "loader.pem"
    private_key.write_text(key["private_key"])
    facts = running_venue.facts()
    found = running_venue.json(
        "load", "--url", f"ws://127.0.0.1:{facts['port']}", "--key", key["key"], "--private-key", str(private_key),
        "--orders", "60", "--clients", "2", "--market", "ETHKZT", "--price", "1600000",
    )  # fmt: skip
    assert (found["orders"], found["refusals"], found["fills"]) == (60, {}, None)
    assert list(found["cpu_us_per_request"]) == ["generator"]


def test_text_for_people(running_venue: VenueProcess) -> None:
    result = running_venue.jibek("load", "--orders", "50", "--clients", "1", "--market", "ETHKZT")
    assert result.returncode == 0, result.stderr
    for words in ("orders a second", "Acknowledged after", "p99.9", "µs a request", "gateway"):
        assert words in result.stdout


def test_a_missing_venue_and_wrong_options_end_in_one_sentence(running_venue: VenueProcess) -> None:
    for arguments, code, words in (
        (("--market", "NONE"), 1, "No market is named NONE"),
        (("--price", "x"), 2, "not a positive number"),
        (("--price", "1"), 1, "too near to an end"),
        (("--up",), 2, "give one of --up, --data and --url"),
        (("--url", "ws://127.0.0.1:1"), 2, "--url needs --key"),
    ):
        result = running_venue.jibek("load", *arguments)
        assert result.returncode == code, (arguments, result.stderr)
        assert words in result.stderr
        assert "Traceback" not in result.stderr


def resting_orders(venue: VenueProcess, symbol: str) -> int:
    found = venue.jibek("market", "book", symbol, "--json")
    book = json.loads(found.stdout)
    return len(book["bids"]) + len(book["asks"])
