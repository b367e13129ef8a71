"""A clock stood ahead while an entry was stamped: what the operator of a real venue sees, what they do, and that it holds."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from click.testing import CliRunner, Result

from jibek.main import main
from tests.worlds.accounts import HmacKey
from tests.worlds.clients import Client, limit_order, signed
from tests.worlds.clocks import stamp_ahead
from tests.worlds.processes import wait_until
from tests.worlds.venue import VenueProcess, without_folder

HOUR_US = 3_600_000_000
WHY = "a clock stood ahead when an entry was stamped"


class World:
    """A venue with a client that signs each request by HMAC."""

    def __init__(self, venue: VenueProcess) -> None:
        self.venue = venue
        self.said("account", "create", "alice", "--deposit", "KZT=1000000000", "--why", "test")
        key = json.loads(self.said("account", "key", "alice", "--type", "hmac", "--json"))
        self.key = HmacKey(key["key"], key["secret"])
        self.ws_api: str = key["urls"]["ws_api"]
        self._ahead_us = 0

    def place(self) -> Any:
        """The reply to a new order, on a connection of its own."""
        client = Client(self.ws_api)
        try:
            return client.ask("order.place", **signed(self.key, **limit_order("BTCKZT", "BUY", "0.01", "30000000")))
        finally:
            client.close()

    def stamp_ahead(self) -> None:
        """An entry is stamped, an hour later than the last time."""
        self._ahead_us += HOUR_US
        client = self.venue.store()
        try:
            stamp_ahead(client, self._ahead_us)
        finally:
            client.close()

    def wait_for_log(self, text: str) -> None:
        log = self.venue.folder.logs / "engine.log"
        wait_until(lambda: text in log.read_text(), f"the engine's log says {text!r}")

    def wait_until_halted(self) -> None:
        wait_until(lambda: self.show()[1]["venue_state"] == "halted", "the venue is halted")

    # -- its command line

    def run(self, *arguments: str) -> Result:
        return CliRunner().invoke(main, [*arguments, "--data", str(self.venue.data)])

    def show(self) -> tuple[int, dict[str, Any]]:
        """Exit code and JSON of `jibek clock show`."""
        result = self.run("clock", "show", "--json")
        return result.exit_code, json.loads(result.stdout)

    def engine_state(self) -> str:
        """What `jibek status` says of the engine."""
        processes = json.loads(self.run("status", "--json").stdout)["processes"]
        return next(str(process["state"]) for process in processes if process["name"] == "engine")

    def said(self, *arguments: str) -> str:
        """What a command that succeeds prints."""
        result = self.run(*arguments)
        assert result.exit_code == 0, result.output
        return result.stdout

    def refused(self, *arguments: str) -> str:
        """Why a command is refused."""
        result = self.run(*arguments)
        assert result.exit_code == 1, result.output
        return result.stderr


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    venue = VenueProcess(tmp_path_factory.mktemp("clock") / "venue")
    try:
        yield World(venue.start())
    finally:
        venue.end()


def test_an_hour_too_late_on_a_stamp_halts_until_it_is_accepted_and_never_again(world: World) -> None:
    venue = world.venue
    assert world.place()["status"] == 200
    assert "The clocks agree.\nThe venue is trading.\n" in world.said("clock", "show")

    # What the operator sees.
    world.stamp_ahead()
    world.wait_until_halted()
    code, shown = world.show()
    assert (code, shown["agree"], shown["venue_halt"]["by_clock_guard"]) == (1, False, True)
    assert shown["venue_minus_store_us"] > 3_500_000_000
    assert WHY in shown["faults"][0] and WHY in shown["venue_halt"]["why"]
    assert WHY in world.said("market", "list")
    wait_until(lambda: WHY in world.engine_state(), "`jibek status` says so")
    world.wait_for_log(WHY)
    assert world.place()["error"]["code"] == -2010
    refusal = world.refused("market", "resume", "--all")
    assert WHY in refusal and "jibek clock accept --why" in without_folder(refusal)

    # What they do.
    said = world.said("clock", "accept", "--keep-halted", "--why", "somebody has set the clock")
    assert "The venue's time stays as it is until the machine's clock reaches 20" in said
    assert re.search(r"Requests that were signed before 20\S+Z are refused from now on \(-1021\)\.", said)
    assert said.endswith("The venue stays halted: `jibek market resume --all` lets it trade.\n")
    assert world.show()[0] == 0, "it is accepted"
    world.said("market", "resume", "--all")
    assert world.place()["status"] == 200
    [act] = json.loads(world.said("audit", "--kind", "time-accept", "--json"))["acts"]
    assert (act["what"], act["why"]) == ("the venue's time", "somebody has set the clock")

    # Another hour is another one.
    world.stamp_ahead()
    world.wait_until_halted()
    said = world.said("clock", "accept", "--why", "again")
    assert said.endswith("The venue is trading.\n")
    wait_until(lambda: world.engine_state() == "ready", "nothing is wrong any more")

    # It holds, though the venue's time does not move: requests are judged by the gateway's own clock.
    for name in ("gateway", "engine"):
        venue.wait_until_back(name, venue.kill(name))
        assert world.place()["status"] == 200, name
    assert venue.stop() == 0
    venue.start()
    assert world.place()["status"] == 200
    code, shown = world.show()
    assert (code, shown["agree"], shown["venue_state"]) == (0, True, "trading")
    assert shown["venue_minus_store_us"] > 2 * HOUR_US - 600_000_000, "the venue's time does not move"
    world.said("ledger", "reconcile")


def test_the_halt_of_an_operator_outlasts_what_is_accepted(world: World) -> None:
    world.said("market", "halt", "--all", "--why", "maintenance")
    world.stamp_ahead()
    wait_until(lambda: bool(world.show()[1]["venue_halt"]["by_clock_guard"]), "the guard has halted it, too")
    assert "The clock guard has halted the venue" in world.refused("market", "resume", "--all")
    said = world.said("clock", "accept", "--why", "looked at it")
    assert "The venue stays halted, because an operator has halted it" in said
    assert re.search(r"The venue is halted since .* by .*: maintenance\.", world.said("market", "list"))
    assert "nothing to accept" in world.refused("clock", "accept", "--why", "twice")
    assert world.said("market", "resume", "--all") == "The venue is trading.\n"
