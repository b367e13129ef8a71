"""How a command fails: one sentence on standard error, and an exit code.

Exit codes are those of `engine.process`: 0 good, 1 a check failed or something was refused, 2 wrong usage, 3 the venue or
its store cannot be reached, 4 a measurement missed a goal.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import redis

from engine.journal import ChainBroken, Diverged, OutcomeUnknown, StaleEpoch, StoreRefused, StoreTimeout
from engine.process import EXIT_REFUSED, EXIT_UNREACHABLE
from engine.process.watermarks import BadWatermark
from jibek.console.standard_streams import Sentence

MORE_MEMORY = (
    "Give it more memory: stop the venue and start it with a larger `jibek up --store-memory`, or raise `maxmemory` of a store "
    "of your own."
)
EXECUTED = "jibek.executed"
"""In the notes of a click context: the command was asked to change something, and the engine has executed it."""


class Failure(Sentence):
    """Ends the command with one sentence on standard error and an exit code."""

    def __init__(self, exit_code: int, text: str) -> None:
        super().__init__(text, exit_code)


def fail(exit_code: int, text: str) -> NoReturn:
    """Ends the command.

    Args:
        text: one sentence that says what is wrong and what to do.

    Raises:
        Failure: always.
    """
    raise Failure(exit_code, text)


def sentence_of(error: Exception) -> str:
    """The text of a broken promise as a sentence, without the name of its class.

    >>> sentence_of(ChainBroken("the hash chain breaks at 1-7"))
    'The hash chain breaks at 1-7.'
    """
    text = str(error)
    return f"{text[:1].upper()}{text[1:].rstrip('.')}."


@contextmanager
def store_errors() -> Iterator[None]:
    """Turns what the store and the journal raise inside the block into a failure with one sentence.

    Raises:
        Failure: exit code 3 if the store is away or does not answer in time, 1 if it refuses or its content is broken.
    """
    try:
        yield
    except (redis.ConnectionError, redis.TimeoutError) as error:
        fail(EXIT_UNREACHABLE, f"The store went away ({error}): see `jibek status`.")
    except OutcomeUnknown as error:
        fail(EXIT_UNREACHABLE, unknown_outcome(error))
    except StoreTimeout as error:
        fail(EXIT_UNREACHABLE, f"{error}")
    except (BadWatermark, ChainBroken, Diverged, StaleEpoch, StoreRefused) as error:
        fail(EXIT_REFUSED, sentence_of(error))
    except redis.OutOfMemoryError:
        fail(EXIT_REFUSED, f"The store is full, and takes only what must pass. {MORE_MEMORY}")
    except redis.ResponseError as error:
        fail(EXIT_REFUSED, f"The store refused: {error}")


def unknown_outcome(error: OutcomeUnknown) -> str:
    """What to do about a command without an answer. What is in the journal will be executed, so that repeating it would do it twice.

    >>> from engine.journal import EntryId
    >>> print(unknown_outcome(OutcomeUnknown("no answer to 1-23", EntryId(1, 23))))
    Do not repeat the command: no answer to 1-23. See `jibek status`; then `jibek audit`, and for money `jibek ledger journal --entry 1-23`, show whether it was done.
    """
    money = "" if error.id is None else f", and for money `jibek ledger journal --entry {error.id}`,"
    shows = "show" if money else "shows"
    return f"Do not repeat the command: {error}. See `jibek status`; then `jibek audit`{money} {shows} whether it was done."
