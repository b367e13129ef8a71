"""Requests on a stream connection: SUBSCRIBE, UNSUBSCRIBE and their like."""

from __future__ import annotations

from typing import Any, NamedTuple

import orjson

from engine.reasons import Reason
from gateway.dialect.constants import NO_ID
from gateway.dialect.rejects import Reject, Rejected
from gateway.dialect.requests import Unreadable, check_names, read_id


class StreamRequest(NamedTuple):
    id_text: str
    method: str
    params: list[Any]


def read_stream_request(raw: bytes) -> StreamRequest:
    """The request in a text message on a stream connection.

    Raises:
        Unreadable: it is none.
    """
    try:
        frame = orjson.loads(raw)
    except orjson.JSONDecodeError:
        raise _unreadable(NO_ID, "invalid JSON") from None
    if type(frame) is not dict:
        raise _unreadable(NO_ID, "expected an object")
    id_text = read_id(frame.get("id"))
    if id_text is None:
        raise _unreadable(NO_ID, "id must be an integer, a string or null")
    method, params = frame.get("method"), frame.get("params")
    if type(method) is not str:
        raise _unreadable(id_text, "method must be a string")
    if params is None:
        params = []
    if type(params) is not list:
        raise _unreadable(id_text, "params must be an array")
    try:
        check_names(raw, len(frame))
    except Rejected:
        raise _unreadable(id_text, "a name stands twice") from None
    return StreamRequest(id_text, method, params)


def _unreadable(id_text: str, fault: str) -> Unreadable:
    return Unreadable(id_text, Reject(Reason.INVALID_STREAM_REQUEST, (fault,)))
