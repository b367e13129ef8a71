"""GET requests: what the gateway refuses and a gateway that is away are failures with their exit codes."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from engine.process import EXIT_REFUSED, EXIT_UNREACHABLE
from jibek.client.rest import fetch
from jibek.console.failure import Failure


class Answers(BaseHTTPRequestHandler):
    """Answers by the path."""

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        status, body = {
            "/good": (200, f'{{"query": "{query}"}}'),
            "/refused": (400, '{"code": -1121, "msg": "Invalid symbol."}'),
            "/proxy": (502, "<html>"),
            "/nonsense": (200, "<html>"),
        }[path]
        self.send_response(status)
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def url() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Answers) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_the_query_is_encoded(url: str) -> None:
    assert fetch(f"{url}/good") == {"query": ""}
    assert fetch(f"{url}/good", symbol="A&B", limit="5") == {"query": "symbol=A%26B&limit=5"}


@pytest.mark.parametrize(
    ("path", "exit_code", "text"),
    [
        ("/refused", EXIT_REFUSED, "Invalid symbol."),
        ("/proxy", EXIT_REFUSED, "502"),
        ("/nonsense", EXIT_UNREACHABLE, "the answer is not JSON"),
    ],
)
def test_what_is_no_result_is_a_failure(url: str, path: str, exit_code: int, text: str) -> None:
    with pytest.raises(Failure, match=text) as failure:
        fetch(url + path)
    assert failure.value.exit_code == exit_code


def test_what_is_not_http_may_be_tls() -> None:
    """A TLS server answers a plain request with an alert, or resets the connection."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(b"\x15\x03\x03\x00\x02\x02\x46")

        threading.Thread(target=answer, daemon=True).start()
        with pytest.raises(Failure, match=r"what came is not HTTP\)\. Does it speak TLS\? Use wss://\.") as failure:
            fetch(f"http://127.0.0.1:{server.getsockname()[1]}/good")
    assert failure.value.exit_code == EXIT_UNREACHABLE


def test_a_gateway_that_is_away_cannot_be_reached() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        place = f"127.0.0.1:{unused.getsockname()[1]}"
        with pytest.raises(Failure) as failure:
            fetch(f"http://{place}/good")
    assert failure.value.exit_code == EXIT_UNREACHABLE
    assert failure.value.message == (
        f"The gateway at {place} does not answer (Connection refused). If it runs here, see `jibek status`."
    )
