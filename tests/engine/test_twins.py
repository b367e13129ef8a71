"""The two engines are twins: the same files with the same names in them, so that you find your way from one to the other.

`engine/reference/x.py` says what a rule is, `engine/core/x.pxd`, `x.pxi` or `x.pyx` does it in C. The lists below name what
has no counterpart, with the reason; the tests fail when a reason no longer holds.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from engine.core import Core
from engine.reference import Core as ReferenceCore

ENGINE = Path(__file__).parent.parent.parent / "engine"
REFERENCE, CORE = ENGINE / "reference", ENGINE / "core"
TWIN_SUFFIXES = (".pxd", ".pxi", ".pyx")
MODULES = sorted(path.stem for path in REFERENCE.glob("*.py") if path.stem != "__init__")

PYTHON_FUNCTION = re.compile(r"^def (\w+)\(", re.MULTILINE)
C_FUNCTION = re.compile(r"^(?:cdef|cpdef|def) [\w *]*?(\w+)\(", re.MULTILINE)
TYPE_OF_ORDER = re.compile(r"\bOrderType\.\w+|\bORDER_TYPE_(?!MAX\b)[A-Z]\w*")

REFERENCE_ONLY = {
    "administration": {"time_tick": ("core/administration.pxi", "a surplus TIME_TICK does nothing")},
    # What must be there is compared with what is: a walk may end where it passes that.
    "checks": {"funds_needed": ("core/checks.pxd", "bint can_pay(")},
    # These write the entry's bytes object, which a method of the Core owns.
    "core": {"execute_command": ("core/core.pyx", "int _execute_command(")},
    "events": {
        "begin_entry": ("core/core.pyx", "int _begin_entry("),
        "finish_entry": ("core/core.pyx", "bytes _finish_entry("),
    },
    # The walk is one for the core and for the book as a library.
    "matching": {
        "crosses": ("book/walk.pxd", "bint may_trade("),
        "makers": ("book/walk.pxd", "WalkEnd walk("),
        "plan_fills": ("book/walk.pxd", "WalkEnd walk_look("),
    },
}
"""Functions of the reference by module, and the file of engine/ with the text that does the same."""

C_ONLY = {
    "accounts": {
        "memory: arrays that grow, shrink and move": (
            "add_account_record add_account_market compact_orders reserve_infos reserve_orders set_room shrink_orders"
        ),
        "look-ups: what is an attribute or a dict in the reference": (
            "account_market_hash account_market_hash_of find_account_market find_client_id find_holding find_market"
            " holdings_of known_holding look_up_account_market mixed_hash_of next_market_of paying_holding"
        ),
        "the list of an account's orders, which is a dict in the reference": (
            "drop_all_ended drop_ended forget_listed is_open list_with_account listed_orders may_be_open resize_list tidy_list"
        ),
    },
    "administration": {
        "a switch for the table HANDLERS": "administer",
        "what the reference writes in line, used twice here": "balance_of check_client list_market open_account set_account_fees",
        "a cancel with a blob, which the hot path leaves to Python": "cancel_with_id",
    },
    "agenda": {"the set NEVER_OVERLOADED in the reference": "is_never_overloaded"},
    "checks": {"in place of funds_needed; it stops a walk that costs more than there is": "can_pay"},
    "core": {"memory: the entry's bytes object grows": "grow_entry"},
    "events": {"an event is written word by word in place": "clear_terms command_traits next_event write_prefix"},
    "matching": {
        "what the walk calls, a loop over the plan in the reference": (
            "affordable_lots begin_walk fill_by_quote count_sold spend_cost"
        ),
    },
    "money": {"methods of Market and Order in the reference": "hold_of value_of"},
    "orders": {"an order that never rested is no node of the book": "close_placed"},
    "report": {
        "queries: methods of Core and of Market in the reference": "open_orders_of account_fees_of side_count",
        "the dump of the orders of one side in one piece": "dump_orders",
        "loading: accounts list their orders by age, sides arrive by price": "list_loaded_orders load_side",
        "_sums, whose name is a variable's here": "sums_of",
        "checks of indexes that the reference has not": "check_client_id check_indexes check_account_fees named_orders",
    },
    "state": {
        "memory: made and freed": "exchange_free exchange_init",
        "what is packed into one word": "order_credit order_traits pack_order with_credit",
    },
}
"""Functions of the core by module and reason."""

CORE_FILES_ALONE = {
    "client_ids": "client ids are bytes in the reference, words of 64 bits here",
    "prefetch": "what the processor's cache should have soon changes no result",
}


def twins_of(module: str) -> list[Path]:
    return [path for suffix in TWIN_SUFFIXES if (path := CORE / f"{module}{suffix}").exists()]


def functions_of_reference(module: str) -> set[str]:
    return set(PYTHON_FUNCTION.findall((REFERENCE / f"{module}.py").read_text()))


def functions_of_core(module: str) -> set[str]:
    return {name for path in twins_of(module) for name in C_FUNCTION.findall(path.read_text())}


def test_every_file_has_a_twin() -> None:
    assert [module for module in MODULES if not twins_of(module)] == []
    alone = {path.stem for suffix in TWIN_SUFFIXES for path in CORE.glob(f"*{suffix}")} - set(MODULES)
    assert alone == CORE_FILES_ALONE.keys()


@pytest.mark.parametrize("module", MODULES)
def test_what_the_reference_says_the_core_does_under_the_same_name(module: str) -> None:
    wanted = {name for name in functions_of_reference(module) if not name.startswith("_")}
    elsewhere = REFERENCE_ONLY.get(module, {})
    assert wanted - functions_of_core(module) == elsewhere.keys()
    for name, (path, text) in elsewhere.items():
        assert text in (ENGINE / path).read_text(), f"{path} no longer has what replaces {name}"


@pytest.mark.parametrize("module", MODULES)
def test_what_only_the_core_has_has_a_reason(module: str) -> None:
    """A function that is private in the reference may be the twin of one in C, where nothing is."""
    known = {name.lstrip("_") for name in functions_of_reference(module)}
    has_reason = {name for names in C_ONLY.get(module, {}).values() for name in names.split()}
    assert {name for name in functions_of_core(module) if not name.startswith("_")} - known == has_reason


def test_both_cores_can_be_asked_the_same() -> None:
    public = [{name for name in vars(core) if not name.startswith("_")} for core in (ReferenceCore, Core)]
    assert public[0] == public[1]


@pytest.mark.parametrize("folder", ["reference", "core", "book"])
def test_no_engine_asks_for_the_type_of_an_order(folder: str) -> None:
    """The flags say what an order may do: a type is a row of engine/order_types.py, and no branch of an engine."""
    paths = [path for suffix in (".py", ".pyi", *TWIN_SUFFIXES) for path in (ENGINE / folder).glob(f"*{suffix}")]
    assert paths
    for path in paths:
        assert TYPE_OF_ORDER.findall(path.read_text()) == [], path.name
