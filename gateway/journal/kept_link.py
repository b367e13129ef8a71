"""One link to the store that is made again whenever it is lost, for as long as that takes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from engine.process.follower import Backoff
from gateway.journal.link import Answered, StoreLink, connect


class KeptLink:
    """Keeps a link to the store.

    Args:
        url: of the store; may hold a password, so it is never logged.
        opened: awaited with each new link, before anything else is sent on it. It raises OSError to have the link made
            again after a while, anything else to give up.
        ready: called when a link is open.
        lost: called when a link that was open is lost.
        broken: called with what `opened` raised that is not an OSError.
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
        self._connecting: asyncio.Task[None] | None = None
        self._outstanding: dict[int, Answered] = {}
        """Who asked on the present link and has no answer yet."""
        self._asked = 0

    @property
    def is_open(self) -> bool:
        return self._link is not None

    async def connect(self) -> None:
        """Makes the link. Returns when it is ready, when it will never be, or when the process is to stop."""
        while not self._is_stopped:
            link = StoreLink(self._link_lost)
            try:
                await connect(self._url, link)
                await self._opened(link)
            except OSError as error:
                link.close()
                await asyncio.sleep(self._backoff.failed(error))
                continue
            except Exception as error:
                link.close()
                self._broken(error)
                return
            if self._is_stopped:
                link.close()
            elif link.is_open:
                self._backoff.succeeded()
                self._link = link
                self._ready()
                return

    def _link_lost(self, link: StoreLink) -> None:
        """Answers all who wait with an error, and connects again. `connect` handles a link that was lost while it was made."""
        if link is not self._link:
            return
        self._link = None
        outstanding, self._outstanding = self._outstanding, {}
        for answered in outstanding.values():
            answered(_lost())
        self._lost()
        if not self._is_stopped:
            self._connecting = self._loop.create_task(self.connect())

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

    def silent_s(self) -> float:
        """How long the store has been silent though an answer is due."""
        return 0.0 if self._link is None else self._link.silent_s()

    def drop(self) -> None:
        """Ends the link; another one is made."""
        if self._link is not None:
            self._link.close()

    def stop(self) -> None:
        """Ends the link for good."""
        self._is_stopped = True
        self.drop()
        if self._connecting is not None:
            self._connecting.cancel()


def _lost() -> ConnectionError:
    return ConnectionError("the connection to the store is lost")
