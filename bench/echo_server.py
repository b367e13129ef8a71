"""The bare server that the gateway is measured against: it takes WebSocket messages and sends each one back, unread.

    python bench/echo_server.py

It is the least that a server on the same parts can do: `websockets`' sans-I/O ServerProtocol in an asyncio protocol on
uvloop, one write for all that a read brought. It prints one line of JSON with its port, and ends when its standard input
does.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import cast

import uvloop
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.server import ServerProtocol


class Echo(asyncio.Protocol):
    """One connection."""

    def __init__(self) -> None:
        self._websocket = ServerProtocol()
        self._transport: asyncio.WriteTransport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.WriteTransport, transport)

    def data_received(self, data: bytes) -> None:
        websocket = self._websocket
        websocket.receive_data(data)
        for event in websocket.events_received():
            if isinstance(event, Request):
                websocket.send_response(websocket.accept(event))
            elif isinstance(event, Frame) and event.opcode is Opcode.TEXT:
                websocket.send_text(event.data)
        output = websocket.data_to_send()
        if output:
            self._transport.writelines([each for each in output if each])
            if not output[-1]:
                self._transport.close()


async def serve() -> None:
    """Serves until the end of standard input."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Echo, "127.0.0.1", 0)
    print(json.dumps({"ready": True, "port": server.sockets[0].getsockname()[1]}), flush=True)
    ended = asyncio.Event()
    loop.add_reader(sys.stdin.fileno(), ended.set)
    await ended.wait()
    server.close()


if __name__ == "__main__":
    uvloop.run(serve())
