"""One link to the store that is made again whenever it is lost, for as long as that takes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from engine.journal import EndsBefore, StoreRefused
from engine.journal.passing import is_not_ready
from engine.process.follower import Backoff
from gateway.journal.link import LOST, Answered, AnswerRefused, StoreLink, connect
from gateway.limits import LINK_PROVEN_S


class KeptLink:
    """Keeps a link to the store.

    A link that is lost before it was open for `LINK_PROVEN_S` does not show that the store can be used: the next one waits
    longer, so a store that takes every connection and ends it again is not tried thousands of times a second.

    Args:
        url: of the store; may hold a password, so it is never logged.
        opened: awaited with each new link, before anything else is sent on it. It raises OSError or EndsBefore to
            have the link made again after a while, anything else to give up.
        ready: called when a link is open.
        lost: called when a link that was open is lost.
        broken: called with what else `opened` raised, or what the taker of an answer raised.
    """

    def __init__(
        self,
        url: str,
        log: logging.Logger,
        *,
        opened: Callable[[StoreLink], Awaitable[None]],
        ready: Callable[[], None],
        lost: Callable[[], None],
        broken: Callable[[BaseException], None],
    ) -> None:
        self._url = url
        self._opened = opened
        self._ready = ready
        self._lost = lost
        self._broken = broken
        self._backoff = Backoff(log)
        self._loop = asyncio.get_running_loop()
        self._link: StoreLink | None = None
        """Only while it is open and ready."""
        self._is_stopped = False
        self._why_lost = LOST
        self._connecting: asyncio.Task[None] | None = None
        self._proving: asyncio.TimerHandle | None = None
        self._outstanding: dict[int, Answered] = {}
        """Who asked on the present link and has no answer yet."""
        self._asked = 0

    @property
    def is_open(self) -> bool:
        return self._link is not None

    def start(self) -> asyncio.Task[None]:
        """Begins to make the link. The task ends when it is ready, or never will be; `stop` cancels it."""
        self._connecting = self._loop.create_task(self._connect())
        return self._connecting

    async def _connect(self, wait_s: float = 0.0) -> None:
        while not self._is_stopped:
            await asyncio.sleep(wait_s)
            link = StoreLink(self._link_lost, self._broken)
            try:
                await self._open(link)
                self._link = link
                self._why_lost = LOST
                self._proving = self._loop.call_later(LINK_PROVEN_S, self._backoff.succeeded)
                self._ready()
                return
            except OSError as error:
                link.close()
                wait_s = self._backoff.failed(error)
            except Exception as error:
                link.close()
                self._broken(error)
                return

    async def _open(self, link: StoreLink) -> None:
        """Raises OSError if a new link may come further, anything else if it will not."""
        await connect(self._url, link)
        try:
            await self._opened(link)
        except AnswerRefused as refused:
            if is_not_ready(str(refused)):
                raise
            raise StoreRefused(str(refused)) from None
        except EndsBefore as error:
            # The operator may put the right store back.
            raise ConnectionError(str(error)) from None
        if not link.is_open:
            raise ConnectionError(LOST)

    def _link_lost(self, link: StoreLink) -> None:
        """Answers all who wait with an error, and connects again. `_connect` handles a link that was lost while it was made."""
        if link is not self._link:
            return
        self._link = None
        assert self._proving is not None
        self._proving.cancel()
        outstanding, self._outstanding = self._outstanding, {}
        for answered in outstanding.values():
            answered(_lost())
        self._lost()
        if not self._is_stopped:
            wait_s = self._backoff.failed(ConnectionError(self._why_lost))
            self._connecting = self._loop.create_task(self._connect(wait_s))

    def send(self, arguments: tuple[Any, ...], answered: Answered) -> None:
        """Sends a call on an open link. If the link is lost before its answer, `answered` is not called."""
        assert self._link is not None
        self._link.send(arguments, answered)

    def ask(self, arguments: tuple[Any, ...], answered: Answered) -> None:
        """Sends a call. `answered` is always called, never before this returns: with a ConnectionError if there is no link, or
        if it is lost before the answer."""
        if self._link is None:
            self._loop.call_soon(answered, _lost())
            return
        self._asked += 1
        number = self._asked
        self._outstanding[number] = answered
        self._link.send(arguments, lambda reply: self._outstanding.pop(number)(reply))

    @property
    def fault(self) -> str:
        """Why the store cannot be used over this link at the moment; the empty text if it can."""
        return self._backoff.fault

    def silent_s(self) -> float:
        """How long the store has been silent though an answer is due."""
        link = self._link
        return 0.0 if link is None else link.silent_s()

    def drop(self, why: str) -> None:
        """Ends the link, of which nothing good can be expected; another one is made. `why` is for the log."""
        if self._link is not None:
            self._why_lost = why
            self._link.close()

    def stop(self) -> None:
        """Ends the link for good."""
        self._is_stopped = True
        self.drop("the process stops")
        if self._connecting is not None:
            self._connecting.cancel()


def _lost() -> ConnectionError:
    return ConnectionError(LOST)
