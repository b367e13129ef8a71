"""Which refusals of the store pass: it is there, and cannot serve at the moment."""

from __future__ import annotations

import redis
from redis.exceptions import MasterDownError, TryAgainError

NOT_READY = (
    "LOADING", "BUSY", "TRYAGAIN", "READONLY", "MASTERDOWN", "UNBLOCKED", "MISCONF", "NOREPLICAS", "CLUSTERDOWN",
)  # fmt: skip
"""First words of refusals that pass: the store is there and cannot serve yet. MISCONF is a disk that takes no writes."""
NOT_READY_ERRORS = (redis.BusyLoadingError, redis.ReadOnlyError, TryAgainError, MasterDownError)
"""As redis-py names four of them, whose first word it takes off."""


NO_FUNCTION = "Function not found"
"""What a store says, after ERR, that has lost the functions of the venue."""


def passes(error: redis.RedisError) -> bool:
    """Whether what the store or the connection raised may pass: it is away, does not answer, or cannot serve yet.

    >>> passes(redis.ConnectionError("gone")), passes(redis.ReadOnlyError("a replica")), passes(redis.ResponseError("ERR"))
    (True, True, False)
    """
    if isinstance(error, (redis.ConnectionError, redis.TimeoutError, *NOT_READY_ERRORS)):
        return True
    return isinstance(error, redis.ResponseError) and is_not_ready(reason_of(error))


def reason_of(error: BaseException) -> str:
    """What an error says, without the call that it answers: for a call in a pipeline, redis-py puts that before the store's
    own words, with its arguments."""
    return str(error).rpartition("of pipeline caused error: ")[2]


def is_not_ready(refusal: str) -> bool:
    """Whether a refusal of the store passes. Functions that an operator has removed are loaded again.

    >>> is_not_ready("LOADING Valkey is loading the dataset in memory"), is_not_ready("WRONGTYPE ...")
    (True, False)
    """
    return refusal.partition(" ")[0] in NOT_READY or refusal.removeprefix("ERR ") == NO_FUNCTION
