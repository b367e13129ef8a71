"""The options of `jibek up` that say how clients reach the gateway; they are those of `python -m gateway.service`."""

from __future__ import annotations

from pathlib import Path

import click

from gateway.access import PROXY_HEADERS, Access, AccessRefused
from jibek.console.options import combined

_FILE = click.Path(dir_okay=False, path_type=Path)

access_options = combined(
    click.option("--tls-cert", type=_FILE, help="Certificate and chain (PEM): speak TLS."),
    click.option("--tls-key", type=_FILE, help="Key of the certificate (PEM), which others cannot read."),
    click.option(
        "--trusted-proxy", "trusted_proxies", multiple=True, metavar="ADDRESS[/BITS]",
        help="A proxy that is believed when it says who the client is; may be repeated.",
    ),
    click.option("--proxy-header", type=click.Choice(PROXY_HEADERS), help="Where trusted proxies say so."),
    click.option(
        "--allow-origin", "allow_origins", multiple=True, metavar="ORIGIN",
        help="A web page that may connect, as https://NAME; may be repeated.",
    ),
    click.option(
        "--allow-host", "allow_hosts", multiple=True, metavar="NAME",
        help="A name under which web pages find the venue; may be repeated.",
    ),
)  # fmt: skip
"""The command receives them under the names that `VenueOptions` has for them."""


def check_access(access: Access) -> None:
    """
    Raises:
        click.UsageError: the options do not go together.
    """
    try:
        access.check()
    except AccessRefused as error:
        raise click.UsageError(f"{error}.") from None
