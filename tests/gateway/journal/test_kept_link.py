"""A link to the store that is made again whenever it is lost, against a store that answers what the test says."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import hiredis
import pytest
import uvloop

from engine.journal import StoreRefused, UnreadableReply
from engine.process.follower import RETRY_S_MAX, Backoff
from gateway.journal import kept_link
from gateway.journal.kept_link import KeptLink
from gateway.journal.link import StoreLink

LOG = logging.getLogger("link under test")
LOADING = b"-LOADING Valkey is loading the dataset in memory\r\n"
OK = b"+OK\r\n"
END = b""
"""Instead of an answer: the store ends the connection."""
Answers = Callable[[bytes], bytes | None]
"""The answer to a command by its name; None for none."""


class Rig:
    """A store in this loop, one link to it, and what became of that."""

    def __init__(self, folder: Path, answers: Answers) -> None:
        self.answers = answers
        self.greeting = b""
        self.connections = 0
        self.ready = 0
        self.lost = 0
        self.broken: list[BaseException] = []
        self._path = folder / "s"
        self._servers: list[asyncio.Server] = []
        self.link = KeptLink(
            f"unix://{self._path}", LOG,
            opened=self._opened, ready=self._is_ready, lost=self._is_lost, broken=self._break,
        )  # fmt: skip

    async def start(self) -> asyncio.Task[None]:
        self._servers.append(await asyncio.start_unix_server(self._serve, self._path))
        return self.link.start()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        writer.write(self.greeting)
        requests = hiredis.Reader()
        while data := await reader.read(65536):
            requests.feed(data)
            while (request := requests.gets()) is not False:
                answer = self.answers(request[0])
                if answer == END:
                    writer.close()
                    return
                writer.write(answer or b"")

    async def _opened(self, link: StoreLink) -> None:
        await link.ask("GET", "how far")

    def _is_ready(self) -> None:
        self.ready += 1

    def _is_lost(self) -> None:
        self.lost += 1

    def _break(self, error: BaseException) -> None:
        self.broken.append(error)
        self.link.stop()

    async def until(self, condition: Callable[[], Any]) -> None:
        while not condition():
            await asyncio.sleep(0.001)


def run(folder: Path, answers: Answers, work: Callable[[Rig], Awaitable[None]]) -> Rig:
    """Runs `work` on the loop that the gateway has, for a minute at most."""

    async def rigged() -> Rig:
        rig = Rig(folder, answers)
        await asyncio.wait_for(work(rig), 60)
        rig.link.stop()
        return rig

    return uvloop.run(rigged())


def always(answer: bytes | None) -> Answers:
    return lambda name: answer


def refusing(refused: bytes, answer: bytes | None) -> Answers:
    """All is well but for one command."""
    return lambda name: answer if name == refused else OK


@pytest.fixture
def waits_s(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long the link waits before it tries again; none of it is waited for."""
    waited: list[float] = []

    class NoWait(Backoff):
        def failed(self, error: BaseException) -> float:
            waited.append(super().failed(error))
            return 0.0

    monkeypatch.setattr(kept_link, "Backoff", NoWait)
    return waited


@pytest.mark.parametrize("answer", [LOADING, END], ids=["refused", "ended"])
@pytest.mark.parametrize("name", [b"SELECT", b"GET", b"XREAD"])
def test_a_store_that_cannot_serve_is_tried_more_and_more_slowly(
    tmp_path: Path, waits_s: list[float], caplog: pytest.LogCaptureFixture, name: bytes, answer: bytes
) -> None:
    """Also if it cannot serve only once the link is ready: then each new link looks well at first."""

    async def work(rig: Rig) -> None:
        rig.link._ready = lambda: rig.link.send(("XREAD",), lambda reply: rig.link.drop(str(reply)))
        await rig.start()
        await rig.until(lambda: len(waits_s) >= 9)

    rig = run(tmp_path, refusing(name, answer), work)
    assert waits_s == sorted(waits_s) and waits_s[-1] == RETRY_S_MAX
    assert rig.broken == []
    said = [record for record in caplog.records if record.name == LOG.name]
    assert len(said) == 1, "one line for an outage"


def test_the_log_says_why_a_link_was_dropped(
    tmp_path: Path, waits_s: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    async def work(rig: Rig) -> None:
        await (await rig.start())
        rig.link.drop("GAP 7")
        await rig.until(lambda: rig.ready == 2)

    run(tmp_path, always(OK), work)
    assert "GAP 7" in caplog.text


@pytest.mark.parametrize("answers", [refusing(b"SELECT", None), refusing(b"GET", None), always(END)],
                         ids=["signing in", "opening", "waiting to try again"])  # fmt: skip
def test_a_stop_ends_a_link_that_is_being_made(tmp_path: Path, answers: Answers) -> None:
    async def work(rig: Rig) -> None:
        task = await rig.start()
        await rig.until(lambda: rig.connections)
        rig.link.stop()
        await asyncio.wait((task,))

    rig = run(tmp_path, answers, work)
    assert (rig.ready, rig.broken) == (0, [])


def test_a_refusal_that_does_not_pass_breaks_a_link(tmp_path: Path) -> None:
    async def work(rig: Rig) -> None:
        await asyncio.wait((await rig.start(),))

    rig = run(tmp_path, refusing(b"GET", b"-WRONGTYPE Operation against a key\r\n"), work)
    [error] = rig.broken
    assert isinstance(error, StoreRefused) and "WRONGTYPE" in str(error)


def test_an_answer_that_is_none_breaks_a_link(tmp_path: Path) -> None:
    async def work(rig: Rig) -> None:
        await rig.start()
        await rig.until(lambda: rig.broken)

    rig = run(tmp_path, refusing(b"GET", b"%$rubbish\r\n"), work)
    assert [type(error) for error in rig.broken] == [UnreadableReply]


def test_a_defect_in_who_takes_an_answer_breaks_a_link(tmp_path: Path) -> None:
    """It must not end in the log of the loop, while the process goes on with half of its work undone."""

    def defect(reply: Any) -> None:
        raise ZeroDivisionError

    async def work(rig: Rig) -> None:
        await (await rig.start())
        rig.link.ask(("PING",), defect)
        await rig.until(lambda: rig.broken)

    rig = run(tmp_path, always(OK), work)
    assert [type(error) for error in rig.broken] == [ZeroDivisionError]


def test_what_the_store_says_unasked_ends_the_link_and_not_the_process(tmp_path: Path, waits_s: list[float]) -> None:
    async def work(rig: Rig) -> None:
        rig.greeting = b"-ERR max number of clients reached\r\n"
        await rig.start()
        await rig.until(lambda: len(waits_s) >= 3)
        rig.greeting = b""
        await rig.until(lambda: rig.ready)

    assert run(tmp_path, always(OK), work).broken == []


def test_who_asks_is_always_answered(tmp_path: Path, waits_s: list[float]) -> None:
    answers: list[Any] = []

    async def work(rig: Rig) -> None:
        rig.link.ask(("BEFORE",), answers.append)
        assert answers == [], "never before `ask` returns"
        await (await rig.start())
        rig.link.ask(("SILENT",), answers.append)
        await rig.until(lambda: answers)
        rig.link.drop("it is silent")
        rig.link.ask(("DROPPED",), answers.append)
        await rig.until(lambda: len(answers) == 3)

    rig = run(tmp_path, lambda name: None if name in (b"SILENT", b"DROPPED") else OK, work)
    assert [type(answer) for answer in answers] == [ConnectionError] * 3
    assert rig.lost > 0
