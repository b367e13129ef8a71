"""`jibek audit` on a venue: filters, bounds, exit codes, and that nothing in it can write on the terminal."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from click.testing import CliRunner, Result

from engine.journal import EntryId, Producer, Store
from engine.records import BatchBuilder, Command, CommandKind
from jibek.commands.audit import short
from jibek.console.operator import system_user
from jibek.console.printable import is_printable
from jibek.main import main
from jibek.venue.audit import Act
from tests.worlds.venue import VenueProcess, without_folder

NAMES = (f"audited-{number}" for number in itertools.count(1))


@pytest.fixture
def store(running_venue: VenueProcess) -> Iterator[Store]:
    client = running_venue.store()
    yield client
    client.close()


@pytest.fixture(scope="module")
def alice(running_venue: VenueProcess) -> str:
    """An account that was opened, paid in by two operators, and frozen twice, which is refused once."""
    name = next(NAMES)
    for words in (
        f"account create {name} --deposit KZT=5 --who aigerim --why first",
        f"ledger deposit {name} 7 KZT --who bolat --why second",
        f"account freeze {name} --who aigerim --why order-17",
        f"account freeze {name} --who bolat",
    ):
        CliRunner().invoke(main, [*words.split(), "--data", str(running_venue.data)], prog_name="jibek")
    return name


def audit(venue: VenueProcess, *words: str) -> Result:
    return CliRunner().invoke(main, ["audit", *words, "--data", str(venue.data)], prog_name="jibek")


def shown(venue: VenueProcess, *words: str) -> Any:
    """What `jibek audit` prints as JSON."""
    result = CliRunner().invoke(main, ["audit", *words, "--json", "--data", str(venue.data)], prog_name="jibek")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.mark.parametrize(
    ("options", "kinds"),
    [
        ([], ["account-add", "deposit", "deposit", "account-freeze", "account-freeze"]),
        (["--kind", "deposit"], ["deposit", "deposit"]),
        (["--kind", "deposit", "--kind", "account-add"], ["account-add", "deposit", "deposit"]),
        (["--who", "bolat"], ["deposit", "account-freeze"]),
        (["--refused"], ["account-freeze"]),
        (["-n", "2"], ["account-freeze", "account-freeze"]),
        (["--since", "2001-01-01", "--until", "2001-01-02T10:00:00+05:00"], []),
        (["--since", "2001-01-01"], ["account-add", "deposit", "deposit", "account-freeze", "account-freeze"]),
        (["--who", "nobody-of-that-name"], []),
    ],
)
def test_filters(running_venue: VenueProcess, alice: str, options: list[str], kinds: list[str]) -> None:
    document = shown(running_venue, "--account", alice, *options)
    assert [act["kind"] for act in document["acts"]] == kinds
    assert document["entries"] > 0 and document["verified_to"].startswith("1-") and len(document["head"]) == 64


def test_the_system_user_is_found_whatever_name_was_given(running_venue: VenueProcess, alice: str) -> None:
    user = system_user()
    for who in (user, user.partition("/")[0]):
        acts = shown(running_venue, "--account", alice, "--who", who)["acts"]
        assert len(acts) == 5 and {act["system_user"] for act in acts} == {user}


def test_times_bound_it_from_below_and_above(running_venue: VenueProcess, alice: str) -> None:
    times = [act["time"] for act in shown(running_venue, "--account", alice)["acts"]]
    assert times == sorted(times)
    first, last = times[0], times[-1]
    acts = shown(running_venue, "--account", alice, "--since", first, "--until", last)["acts"]
    assert [act["time"] for act in acts] == times[:4]


def test_the_table_says_how_far_it_looked(running_venue: VenueProcess, alice: str) -> None:
    result = audit(running_venue, "--account", alice, "-n", "3")
    *_, footer = lines = result.stdout.splitlines()
    assert (result.exit_code, len(lines)) == (0, 5)
    assert footer.startswith("5 rows in ") and ", the newest 3 shown; the chain is verified up to 1-" in footer
    assert "ACCOUNT_FROZEN" in lines[3] and "bolat" in lines[3]


def test_what_others_wrote_into_the_journal_is_escaped(running_venue: VenueProcess, store: Store) -> None:
    """A program of its own can write any bytes as who and why; a name of an account cannot have them."""
    name = next(NAMES)
    builder = BatchBuilder()
    signature = (b"\x1b[2Jadmin\n2026-01-01 forged", "\u202eyhw".encode(), b"\xff/0\x9b31m")
    builder.add(Command(kind=CommandKind.ACCOUNT_ADD), name.encode(), *signature)
    Producer(store).execute(builder)
    result = audit(running_venue, "--account", name)
    assert all(map(is_printable, result.stdout.splitlines())) and len(result.stdout.splitlines()) == 3
    assert "\\x1b[2Jadmin\\x0a2026-01-01 forged" in result.stdout and "\\u202eyhw" in result.stdout
    [act] = shown(running_venue, "--account", name)["acts"]
    assert (act["who"], act["why"]) == ("\x1b[2Jadmin\n2026-01-01 forged", "\u202eyhw")
    for words in (["account", "show", name], ["account", "list"]):
        result = CliRunner().invoke(main, [*words, "--data", str(running_venue.data)], prog_name="jibek")
        assert result.exit_code == 0 and all(map(is_printable, result.stdout.splitlines()))


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["--kind", "nonsense"], 2, "is not one of"),
        (["--since", "yesterday"], 2, "'yesterday' is no time: write 2026-11-26"),
        (["--until", "x" * 3000], 2, "is no time"),
        (["-n", "0"], 2, "is not in the range"),
        (["--account", "nobody"], 1, "No account is named nobody. See `jibek account list`."),
    ],
)
def test_wrong_usage(running_venue: VenueProcess, words: list[str], code: int, says: str) -> None:
    result = audit(running_venue, *words)
    assert (result.exit_code, says in without_folder(result.stderr), result.stdout) == (code, True, "")


def test_a_row_names_a_key_by_its_beginning() -> None:
    act = Act(EntryId(1, 2), 0, "key-add", "alice", f"{'5f2ab10c' * 4}: ed25519, may read", "", "op", "user", "")
    assert short(act) == "5f2ab10c…: ed25519, may read"
    assert short(replace(act, kind="deposit", what="x" * 32)) == "x" * 32
