"""Which certificates the clients of `jibek` accept: the venue's own, what an authority vouches for, and nothing else."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.access import Access
from jibek.client.rest import fetch
from jibek.client.trading import open_websocket
from jibek.console import trust
from jibek.console.failure import Failure
from jibek.console.trust import context_for, trust_authority, trust_certificate
from tests.worlds.front import Front, front, make_certificate


@pytest.fixture(autouse=True)
def nothing_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trust, "_contexts", {})


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    return make_certificate(tmp_path, host="venue.example")


@pytest.fixture
def served(files: tuple[Path, Path]) -> Iterator[Front]:
    with front(Access(*files)) as served:
        yield served


def url_of(served: Front, host: str = "127.0.0.1") -> str:
    return f"https://{host}:{served.port}/api/v3/ping"


def test_a_certificate_of_which_nothing_is_known_is_refused(served: Front) -> None:
    with pytest.raises(
        Failure, match="Its certificate is not trusted: name the authority that signed it with --ca FILE"
    ):
        fetch(url_of(served))


def test_the_venue_is_known_by_its_own_certificate_under_any_name(served: Front, files: tuple[Path, Path]) -> None:
    for host in ("127.0.0.1", "localhost"):
        trust_certificate(url_of(served, host), files[0])
        assert fetch(url_of(served, host)) == {}


def test_another_certificate_is_refused_also_from_the_chain_behind_it(
    served: Front, files: tuple[Path, Path], tmp_path: Path
) -> None:
    other = make_certificate(tmp_path, "other")[0]
    chain = tmp_path / "chain.pem"
    chain.write_text(other.read_text() + files[0].read_text())
    trust_certificate(url_of(served), chain)
    with pytest.raises(Failure, match="It does not show the certificate of its file: send SIGHUP"):
        fetch(url_of(served))


def test_an_authority_vouches_for_a_name(served: Front, files: tuple[Path, Path]) -> None:
    for host in ("127.0.0.1", "localhost"):
        trust_authority(url_of(served, host), files[0])
    assert fetch(url_of(served)) == {}
    with pytest.raises(Failure, match=r"Hostname mismatch.*\. Use a name that its certificate has"):
        fetch(url_of(served, "localhost"))


def test_a_certificate_that_cannot_be_read_is_named(served: Front, tmp_path: Path) -> None:
    trust_certificate(url_of(served), tmp_path / "nothing.pem")
    with pytest.raises(Failure, match=r"nothing\.pem cannot be read"):
        fetch(url_of(served))


async def ping(url: str) -> str:
    connection = await open_websocket(url)
    try:
        await connection.send('{"id":1,"method":"ping"}')
        return str(await connection.recv())
    finally:
        await connection.close()


def test_websockets_use_the_same(served: Front, files: tuple[Path, Path]) -> None:
    import asyncio

    url = f"wss://127.0.0.1:{served.port}/ws-api/v3"
    with pytest.raises(ssl.SSLCertVerificationError):
        asyncio.run(ping(url))
    trust_certificate(url, files[0])
    assert '"status":200' in asyncio.run(ping(url)).replace(" ", "")


def test_what_is_not_encrypted_needs_no_context() -> None:
    assert context_for("http://127.0.0.1:9443/") is None
    assert context_for("ws://127.0.0.1:9443/") is None
    assert context_for("wss://venue.example/") is not None
