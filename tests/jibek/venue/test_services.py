"""The table of services: what is started, with what, and the order of the stop."""

from __future__ import annotations

import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest

from gateway.arguments import parse_arguments
from gateway.pages.limits_page import HEAD
from jibek.venue.launch import GATEWAY_BOUNDS, VenueOptions, option_of
from jibek.venue.services import GATEWAY, LOG_NAMES, PROCESS_NAMES, SERVICES, STOP_ORDER, STORE, Service

OPTIONS = VenueOptions(Path("/data"), host="127.0.0.2", port=9999, engine="reference")


def test_names_are_unique_and_every_process_is_stopped() -> None:
    assert len(set(LOG_NAMES)) == len(LOG_NAMES)
    assert sorted(STOP_ORDER) == sorted(PROCESS_NAMES)


def test_orders_end_before_the_engine_and_the_store_ends_last() -> None:
    order = list(STOP_ORDER)
    assert order.index("gateway") < order.index("engine") < order.index("settlement")
    assert order[-1] == STORE == PROCESS_NAMES[0]


def test_the_engine_runs_before_the_definition_and_the_gateway_after_it() -> None:
    assert {service.name: service.needs_definition for service in SERVICES} == {
        "engine": False, "settlement": True, "gateway": True,
    }  # fmt: skip


@pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.name)
def test_a_service_is_a_module_that_runs_on_the_data_folder(service: Service) -> None:
    assert find_spec(service.module) is not None
    command = service.command_line(OPTIONS)
    assert command[:6] == [sys.executable, "-P", "-m", service.module, "--data", "/data"]


def test_each_service_gets_its_options() -> None:
    arguments = {service.name: service.command_line(OPTIONS)[6:] for service in SERVICES}
    assert arguments["engine"] == ["--engine", "reference"]
    assert arguments["settlement"] == []
    assert arguments["gateway"][:4] == ["--host", "127.0.0.2", "--port", "9999"]
    bounds = replace(OPTIONS, connections_max=8, connections_per_address_max=7, failures_max=9)
    (gateway,) = (service for service in SERVICES if service.name == GATEWAY)
    found = parse_arguments(["--store", "unix:///x", *gateway.command_line(bounds)[4:]])
    assert (found.connections_max, found.connections_per_address_max, found.bans.failures_max) == (8, 7, 9)


def test_the_page_of_limits_names_what_up_passes_on() -> None:
    assert [name for name in GATEWAY_BOUNDS if f"`{option_of(name)}`" not in " ".join(HEAD.split())] == []


def test_a_relative_data_folder_is_made_absolute() -> None:
    (engine, *_) = SERVICES
    assert engine.command_line(VenueOptions(Path("here")))[5] == str(Path.cwd() / "here")
