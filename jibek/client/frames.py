"""The head of a client's WebSocket frames, for clients that write their frames themselves."""

from __future__ import annotations


def frame_head(first_byte: int, length: int) -> bytes:
    """What comes before the mask: first byte, mask bit and length.

    Args:
        length: of the payload in bytes.

    >>> frame_head(0x81, 2).hex(), frame_head(0x81, 126).hex(), frame_head(0x89, 65536).hex()
    ('8182', '81fe007e', '89ff0000000000010000')
    """
    if length < 126:
        return bytes((first_byte, 0x80 | length))
    if length < 65536:
        return bytes((first_byte, 0x80 | 126)) + length.to_bytes(2, "big")
    return bytes((first_byte, 0x80 | 127)) + length.to_bytes(8, "big")
