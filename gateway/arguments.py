"""The arguments of the gateway's process: where it listens, and the bounds that an operator may choose."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import NamedTuple

from engine.journal import FIRST_GATEWAY
from engine.process import add_store_argument
from gateway.access import PROXY_HEADERS, Access, AccessRefused
from gateway.limits import (
    CONNECTIONS_MAX,
    CONNECTIONS_PER_ADDRESS_MAX,
    BanSettings,
    ConnectionLimits,
    PipelineLimits,
)


class Arguments(NamedTuple):
    store: str
    """URL of the store; may hold a password."""
    data: Path
    host: str
    port: int
    producer: int
    """The number of this gateway."""
    connections_max: int
    connections_per_address_max: int
    connection_limits: ConnectionLimits
    pipeline_limits: PipelineLimits
    bans: BanSettings
    access: Access


def parse_arguments(arguments: list[str]) -> Arguments:
    """Reads the command line; wrong usage ends the process with exit code 2."""
    parser = argparse.ArgumentParser(prog="python -m gateway.service", description="The WebSocket gateway of a venue.")
    add_store_argument(parser)
    parser.add_argument("--data", required=True, type=Path, help="data folder of the venue, with its secret.key")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", default=9443, type=int, help="port to listen on, 0 for any (default: %(default)s)")
    parser.add_argument("--gateway", default=FIRST_GATEWAY, type=int, help="number of this gateway, from %(default)s")
    _add_access(parser)
    pipeline, connection = PipelineLimits(), ConnectionLimits()
    for option, default, help_text in (
        ("--failures-max", BanSettings().failures_max, "failures of an address in a minute, before it is banned"),
        ("--connections-max", CONNECTIONS_MAX, "open connections"),
        ("--connections-per-address-max", CONNECTIONS_PER_ADDRESS_MAX, "open connections of an address"),
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
        connections_per_address_max=found.connections_per_address_max,
        connection_limits=ConnectionLimits(
            output_bytes_max=found.output_bytes_max, stranger_output_bytes_max=found.stranger_output_bytes_max
        ),
        pipeline_limits=PipelineLimits(
            commands_max=found.commands_max,
            commands_per_session_max=found.commands_per_session_max,
            answer_timeout_s=found.answer_timeout_s,
        ),
        bans=BanSettings(found.failures_max),
        access=_access_of(parser, found),
    )


def _add_access(parser: argparse.ArgumentParser) -> None:
    """Adds the options that `Access` holds."""
    parser.add_argument("--tls-cert", type=Path, metavar="FILE", help="certificate and chain (PEM): speak TLS")
    parser.add_argument(
        "--tls-key", type=Path, metavar="FILE", help="key of the certificate (PEM); SIGHUP reads both again"
    )
    parser.add_argument(
        "--trusted-proxy", action="append", default=[], metavar="ADDRESS[/BITS]",
        help="a proxy that is believed when it says who the client is; may be repeated",
    )  # fmt: skip
    parser.add_argument("--proxy-header", choices=PROXY_HEADERS, help="where trusted proxies say so")
    parser.add_argument(
        "--allow-origin", action="append", default=[], metavar="ORIGIN",
        help="a web page that may connect, as https://NAME; may be repeated",
    )  # fmt: skip
    parser.add_argument(
        "--allow-host", action="append", default=[], metavar="NAME",
        help="a name under which web pages find the venue; may be repeated",
    )  # fmt: skip


def _access_of(parser: argparse.ArgumentParser, found: argparse.Namespace) -> Access:
    access = Access(
        found.tls_cert,
        found.tls_key,
        tuple(found.trusted_proxy),
        found.proxy_header,
        tuple(found.allow_origin),
        tuple(found.allow_host),
    )
    try:
        access.check()
    except AccessRefused as error:
        parser.error(str(error))
    return access
