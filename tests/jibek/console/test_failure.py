"""How a command fails: one sentence on standard error, and the exit code of what went wrong."""

from __future__ import annotations

import click
import pytest
import redis
from click.testing import CliRunner

from engine.journal import ChainBroken, StoreTimeout
from engine.process import EXIT_REFUSED, EXIT_UNREACHABLE
from jibek.console.failure import Failure, fail, store_errors


@pytest.mark.parametrize(
    ("error", "exit_code"),
    [
        (redis.ConnectionError("gone"), EXIT_UNREACHABLE),
        (redis.TimeoutError("slow"), EXIT_UNREACHABLE),
        (StoreTimeout("no answer"), EXIT_UNREACHABLE),
        (ChainBroken("The chain breaks at 1-7"), EXIT_REFUSED),
        (redis.ResponseError("WRONGTYPE"), EXIT_REFUSED),
    ],
)
def test_what_the_store_raises_becomes_one_sentence(error: Exception, exit_code: int) -> None:
    with pytest.raises(Failure, match=str(error)) as failure, store_errors():
        raise error
    assert failure.value.exit_code == exit_code


def test_a_full_store_says_what_to_do_and_not_what_the_store_said() -> None:
    with pytest.raises(Failure, match="--store-memory") as failure, store_errors():
        raise redis.OutOfMemoryError("command not allowed when used memory > 'maxmemory'.")
    assert failure.value.exit_code == EXIT_REFUSED
    assert str(failure.value).startswith("The store is full, and takes only what must pass. Give it more memory: ")
    assert "not allowed" not in str(failure.value)


def test_a_failure_is_one_line_on_standard_error() -> None:
    @click.command()
    def command() -> None:
        fail(EXIT_REFUSED, "It cannot be done.")

    result = CliRunner().invoke(command)
    assert (result.exit_code, result.stdout, result.stderr) == (EXIT_REFUSED, "", "It cannot be done.\n")
