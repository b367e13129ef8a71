"""A thin asyncio connection to the store: requests in, answers in order, no object per call.

The gateway sends one append per turn and keeps one blocking read open, so what a call costs decides what an order costs.
On the same socket redis.asyncio takes three times the CPU of this per call (131 against 40 µs for an XADD with one in
flight, round trip included), because it creates several objects and awaits for each. What the functions of the store take and
answer, and how events are read, is `engine.journal`'s.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, cast

import hiredis
from redis.connection import parse_url

from engine.journal import ForeignStore, UnreadableReply, check_server, check_socket_place
from gateway.limits import STORE_TIMEOUT_S

Result = TypeVar("Result")
Answered = Callable[[Any], None]
"""Takes the answer; a `hiredis.ReplyError` if the store refused."""


LOST = "the connection to the store is lost"


class AnswerRefused(ConnectionError):
    """The store refused what it was asked; the text is its answer."""


class StoreLink(asyncio.Protocol):
    """One connection.

    Args:
        lost: called once, with this link, when the connection ends; answers that did not come by then never come.
        failed: called with what the taker of an answer raised, which is a defect, or with an UnreadableReply if what came
            is no answer. Nothing more is taken from the store then.
    """

    def __init__(self, lost: Callable[[StoreLink], None], failed: Callable[[Exception], None]) -> None:
        self._lost = lost
        self._failed = failed
        self._transport: asyncio.WriteTransport | None = None
        self._reader = hiredis.Reader()
        self._expected: deque[Answered] = deque()
        self._asking: set[asyncio.Future[Any]] = set()
        self._clock = asyncio.get_running_loop().time
        self._heard_s = self._clock()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.WriteTransport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._expected.clear()
        for answer in self._asking:
            if not answer.done():
                answer.set_exception(ConnectionError(LOST))
        self._lost(self)

    def data_received(self, data: bytes) -> None:
        self._heard_s = self._clock()
        reader = self._reader
        try:
            reader.feed(data)
            while self._transport is not None and (answer := reader.gets()) is not False:
                if not self._expected:
                    # The store has said unasked why it ends the connection, for example that it has too many.
                    self.close()
                    return
                self._expected.popleft()(answer)
        except hiredis.ProtocolError as error:
            self._fail(UnreadableReply(f"the store answered with what is not a reply: {error}"))
        except Exception as defect:
            self._fail(defect)

    def _fail(self, error: Exception) -> None:
        self.close()
        self._failed(error)

    @property
    def is_open(self) -> bool:
        return self._transport is not None

    def send(self, arguments: tuple[Any, ...], answered: Answered) -> None:
        """Sends a command. `answered` is called with its answer, unless the connection is lost before."""
        assert self._transport is not None
        if not self._expected:
            self._heard_s = self._clock()
        self._expected.append(answered)
        self._transport.write(hiredis.pack_command(arguments))

    async def ask(self, *arguments: Any) -> Any:
        """Sends a command and waits for its answer.

        Raises:
            ConnectionError: the connection was lost.
            TimeoutError: no answer came within `STORE_TIMEOUT_S`.
            AnswerRefused: the store refused.
        """
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

        def answered(value: Any) -> None:
            if not answer.done():
                answer.set_result(value)

        if not self.is_open:
            raise ConnectionError(LOST)
        self._asking.add(answer)
        try:
            self.send(arguments, answered)
            value = await _in_time(answer)
        finally:
            self._asking.discard(answer)
        if isinstance(value, hiredis.ReplyError):
            raise AnswerRefused(str(value))
        return value

    def silent_s(self) -> float:
        """How long an answer has been waited for without a byte; 0 where none is expected."""
        return self._clock() - self._heard_s if self._expected else 0.0

    def close(self) -> None:
        """Ends the connection; `lost` is called as for any other end."""
        if self._transport is not None:
            self._transport.abort()


async def connect(url: str, link: StoreLink) -> None:
    """Connects a link to `unix:///path`, `redis://[user:password@]host:port/db` or `rediss://…`, and signs in.

    Raises:
        OSError: the store cannot be reached, does not answer within `STORE_TIMEOUT_S`, is another user's in the place of the embedded one, or refuses (as it does while it loads
            its file).
    """
    options = parse_url(url)  # type: ignore[no-untyped-call]
    loop = asyncio.get_running_loop()
    if "path" in options:
        await _connect_to_socket(options["path"], link)
    else:
        context = ssl.create_default_context() if url.startswith("rediss://") else None
        address = (options.get("host", "localhost"), options.get("port", 6379))
        await _in_time(loop.create_connection(lambda: link, *address, ssl=context))
    if "password" in options:
        credentials = (options["username"],) if options.get("username") else ()
        await link.ask("AUTH", *credentials, options["password"])
    await link.ask("SELECT", str(options.get("db", 0)))


async def _connect_to_socket(path: str, link: StoreLink) -> None:
    try:
        check_socket_place(path)
        transport, _ = await _in_time(asyncio.get_running_loop().create_unix_connection(lambda: link, path))
        check_server(path, transport.get_extra_info("socket"))
    except ForeignStore as error:
        # A `redis.ConnectionError`, which is no OSError.
        raise ConnectionError(str(error)) from None


async def _in_time(work: Awaitable[Result]) -> Result:
    """What `work` gives. Raises TimeoutError, with a text, if that takes longer than `STORE_TIMEOUT_S`."""
    try:
        return await asyncio.wait_for(work, STORE_TIMEOUT_S)
    except TimeoutError:
        raise TimeoutError(f"no answer within {STORE_TIMEOUT_S:.0f} s") from None


def memory_use(info: bytes) -> tuple[int, int]:
    """Used and largest memory in bytes, from the answer of `INFO memory`."""
    fields = dict(line.split(b":", 1) for line in info.split(b"\r\n") if b":" in line)
    return int(fields.get(b"used_memory", 0)), int(fields.get(b"maxmemory", 0))
