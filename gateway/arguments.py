"""The arguments of the gateway's process: where it listens, and the bounds that an operator may choose."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import NamedTuple

from engine.journal import FIRST_GATEWAY
from engine.process import add_store_argument
from gateway.limits import CONNECTIONS_MAX, BanSettings, ConnectionLimits, PipelineLimits


class Arguments(NamedTuple):
    store: str
    """URL of the store; may hold a password."""
    data: Path
    host: str
    port: int
    producer: int
    """The number of this gateway."""
    connections_max: int
    connection_limits: ConnectionLimits
    pipeline_limits: PipelineLimits
    bans: BanSettings


def parse_arguments(arguments: list[str]) -> Arguments:
    """Reads the command line; wrong usage ends the process with exit code 2."""
    parser = argparse.ArgumentParser(prog="python -m gateway.service", description="The WebSocket gateway of a venue.")
    add_store_argument(parser)
    parser.add_argument("--data", required=True, type=Path, help="data folder of the venue, with its secret.key")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", default=9443, type=int, help="port to listen on, 0 for any (default: %(default)s)")
    parser.add_argument("--gateway", default=FIRST_GATEWAY, type=int, help="number of this gateway, from %(default)s")
    pipeline, connection = PipelineLimits(), ConnectionLimits()
    for option, default, help_text in (
        ("--failures-max", BanSettings().failures_max, "failures of an address in a minute, before it is banned"),
        ("--connections-max", CONNECTIONS_MAX, "open connections"),
        ("--commands-max", pipeline.commands_max, "commands without an answer"),
        ("--commands-per-session-max", pipeline.commands_per_session_max, "commands of a connection without an answer"),
        ("--answer-timeout-s", pipeline.answer_timeout_s, "after this a command is answered as unknown"),
        ("--output-bytes-max", connection.output_bytes_max, "what may wait for a slow reader that has shown a key"),
        ("--stranger-output-bytes-max", connection.stranger_output_bytes_max, "what may wait for one that has not"),
    ):
        parser.add_argument(option, default=default, type=type(default), help=f"{help_text} (default: %(default)s)")
    found = parser.parse_args(arguments)
    return Arguments(
        store=found.store,
        data=found.data,
        host=found.host,
        port=found.port,
        producer=found.gateway,
        connections_max=found.connections_max,
        connection_limits=ConnectionLimits(
            output_bytes_max=found.output_bytes_max, stranger_output_bytes_max=found.stranger_output_bytes_max
        ),
        pipeline_limits=PipelineLimits(
            commands_max=found.commands_max,
            commands_per_session_max=found.commands_per_session_max,
            answer_timeout_s=found.answer_timeout_s,
        ),
        bans=BanSettings(found.failures_max),
    )
