"""Which path of the port is what: the request API, raw streams, combined streams."""

from __future__ import annotations

from engine.reasons import Reason
from gateway.auth.sessions import Connection, Session
from gateway.auth.usage import AddressUsage
from gateway.dialect.rejects import Rejected
from gateway.dialect.requests import flag_of, query_params, unit_of
from gateway.wire.http_side import UpgradeRequest

API_PATH = "/ws-api/v3"
RAW_PATH = "/ws"
COMBINED_PATH = "/stream"


def session_for(
    request: UpgradeRequest, connection: Connection, usage: AddressUsage, ip: str, now_ms: int
) -> tuple[Session, list[str]]:
    """The session of an upgrade and the streams that its URL names.

    `/ws/<anything>` is a raw stream connection for any name: some clients number their connections.

    Raises:
        Rejected: nothing is at the path, or its query is malformed.
    """
    params = query_params(request.query)
    unit = unit_of(params.get("timeUnit"))
    path = request.path.rstrip("/") or "/"
    if path == API_PATH:
        shows_limits = flag_of(params, "returnRateLimits", True)
        return Session(connection, usage, ip=ip, unit=unit, shows_rate_limits=shows_limits, connected_ms=now_ms), []
    if path == COMBINED_PATH:
        streams = [name for name in params.get("streams", "").split("/") if name]
        return Session(connection, usage, ip=ip, is_api=False, combined=True, unit=unit, connected_ms=now_ms), streams
    if path == RAW_PATH or path.startswith(RAW_PATH + "/"):
        streams = [name for name in path[len(RAW_PATH) + 1 :].split("/") if name]
        return Session(connection, usage, ip=ip, is_api=False, unit=unit, connected_ms=now_ms), streams
    raise Rejected(Reason.UNKNOWN_METHOD, path)
