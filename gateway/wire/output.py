"""What waits to be written to one connection: frames that are made, and long messages that are made as the reader takes them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from gateway.limits import FRAGMENT_BYTES
from gateway.wire.frames import encode_fragment


class LongMessage:
    """A text message of any length. It leaves in fragments, and each is made only when the one before was taken.

    Args:
        pieces: the message, cut anywhere; at least one piece.
        size_bytes: what the pieces hold in memory until they are made.
    """

    __slots__ = ("_is_first", "_next", "_pieces", "size_bytes")

    def __init__(self, pieces: Iterator[bytes], size_bytes: int) -> None:
        self._pieces = pieces
        self._is_first = True
        self._next: bytes | None = None
        """The fragment that is made already, to see whether another one follows it."""
        self.size_bytes = size_bytes

    def next_frame(self) -> tuple[bytes, bool]:
        """The next fragment, and whether it is the last one. Cost: making about `FRAGMENT_BYTES` of text."""
        fragment = self._make() if self._next is None else self._next
        self._next = self._make()
        is_first, self._is_first = self._is_first, False
        return encode_fragment(fragment, is_first, not self._next), not self._next

    def _make(self) -> bytes:
        """The text of one fragment; nothing where the message is complete."""
        made: list[bytes] = []
        size = 0
        for piece in self._pieces:
            made.append(piece)
            size += len(piece)
            if size >= FRAGMENT_BYTES:
                break
        return b"".join(made)


class OutputQueue:
    """Frames in the order in which they leave. `size_bytes` is what waits, a long message counted as what it holds."""

    __slots__ = ("_long", "_waiting", "size_bytes")

    def __init__(self) -> None:
        self._waiting: deque[bytes | memoryview | LongMessage] = deque()
        self._long = 0
        """Long messages among them."""
        self.size_bytes = 0

    def __bool__(self) -> bool:
        return bool(self._waiting)

    @property
    def has_long(self) -> bool:
        """Whether taking what waits costs the making of a long message."""
        return self._long > 0

    def add(self, frame: bytes) -> None:
        """Queues a frame."""
        self._waiting.append(frame)
        self.size_bytes += len(frame)

    def add_long(self, message: LongMessage) -> None:
        """Queues a message whose frames are yet to be made."""
        self._waiting.append(message)
        self._long += 1
        self.size_bytes += message.size_bytes

    def clear(self) -> None:
        """Drops what waits."""
        self._waiting.clear()
        self._long = self.size_bytes = 0

    def is_between_frames(self) -> bool:
        """Whether a frame may be put before all that waits: no frame, and no message, has left in part."""
        return not self._waiting or type(self._waiting[0]) is bytes

    def take(self, size_bytes: int) -> list[bytes | memoryview]:
        """Takes up to this many bytes; a frame may be cut. Cost: O(frames), and making what is taken of a long message."""
        waiting = self._waiting
        taken: list[bytes | memoryview] = []
        if self.size_bytes <= size_bytes and not self._long:
            taken += waiting  # type: ignore[arg-type]
            self.clear()
            return taken
        while waiting and size_bytes > 0:
            frame = waiting.popleft()
            if isinstance(frame, LongMessage):
                made, is_last = frame.next_frame()
                self.size_bytes += len(made)
                if is_last:
                    self._long -= 1
                    self.size_bytes -= frame.size_bytes
                else:
                    waiting.appendleft(frame)
                waiting.appendleft(made)
                continue
            if len(frame) > size_bytes:
                rest = memoryview(frame)[size_bytes:]
                waiting.appendleft(rest)
                frame = memoryview(frame)[:size_bytes]
            taken.append(frame)
            size_bytes -= len(frame)
            self.size_bytes -= len(frame)
        return taken
