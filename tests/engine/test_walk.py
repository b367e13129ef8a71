"""The walk compared with a simple one: takers by quantity and by amount, with few fills left, with no memory for one more fill.

The book needs less than that, so the walk is compiled here behind a class of its own, with its assertions.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.debug_build import ROOT

SEED = int(os.environ.get("JIBEK_SEED", "20261126"))
REPEAT = f"repeat with: JIBEK_SEED={SEED} python -m pytest tests/engine/test_walk.py"
SATISFIED, NO_MAKER, FILL_LIMIT, NO_MEMORY = range(4)
Fill = tuple[int, int, int, int]
"""Order id, price, lots that are filled, lots that the maker had before."""

FACE = """
from libc.stdint cimport int64_t, uint32_t, uint64_t
from engine.book.ladder cimport *
from engine.book.order_ids cimport *
from engine.book.walk cimport *
from engine.records cimport AMOUNT_MAX

cdef enum:
    FILLS_MAX = 64

cdef struct Seen:
    Arena* arena
    int64_t budget
    uint64_t count
    uint64_t room
    uint64_t order_ids[FILLS_MAX]
    int64_t prices[FILLS_MAX]
    int64_t lots[FILLS_MAX]
    int64_t before[FILLS_MAX]

cdef int64_t affordable(void* owner, Taker* taker, int64_t price_ticks) noexcept nogil:
    return (<Seen*>owner).budget // price_ticks

cdef bint see(void* owner, Taker* taker, uint32_t handle, int64_t price_ticks, int64_t lots) noexcept nogil:
    cdef Seen* seen = <Seen*>owner
    if seen.count == seen.room:
        return False
    seen.order_ids[seen.count] = seen.arena.nodes[handle].order_id
    seen.prices[seen.count] = price_ticks
    seen.lots[seen.count] = lots
    seen.before[seen.count] = seen.arena.nodes[handle].remaining_lots
    seen.count += 1
    seen.budget -= price_ticks * lots
    return True

cdef class Face:
    cdef Ladder ladder
    cdef Arena arena
    cdef OrderIds ids

    def __cinit__(self):
        ladder_init(&self.ladder)
        arena_init(&self.arena)
        ids_init(&self.ids)

    def __dealloc__(self):
        ladder_free(&self.arena, &self.ladder)
        arena_free(&self.arena)
        ids_free(&self.ids)

    def rest(self, uint64_t order_id, bint is_ask, int64_t price_ticks, int64_t lots):
        cdef uint32_t handle
        assert ids_reserve(&self.ids, self.arena.nodes)
        handle = ladder_rest(&self.arena, &self.ladder, ladder_key(is_ask, price_ticks), lots, order_id)
        assert handle and ids_insert(&self.ids, self.arena.nodes, order_id, handle)

    def walk(self, bint takes, bint is_ask, price, int64_t lots, int64_t amount, uint64_t fills_left, uint64_t room):
        cdef Taker taker
        cdef Seen seen
        cdef WantedAt wanted_at = affordable if amount else wanted_lots
        taker.key = ladder_key(is_ask, price) if price else AMOUNT_MAX
        taker.remaining_lots = AMOUNT_MAX if amount else lots
        taker.fills_left = fills_left
        taker.is_ask = is_ask
        seen.arena, seen.budget, seen.count, seen.room = &self.arena, amount, 0, room
        if takes:
            end = walk_take(&self.ladder, &self.arena, &self.ids, &taker, &seen, wanted_at, see)
        else:
            end = walk_look(&self.ladder, &self.arena, &taker, &seen, wanted_at, see)
        fills = [(seen.order_ids[i], seen.prices[i], seen.lots[i], seen.before[i]) for i in range(seen.count)]
        return end, fills, taker.remaining_lots

    def fills(self, bint is_ask, int64_t price_ticks, int64_t lots, uint64_t fills_left):
        return bool(walk_fills(&self.ladder, &self.arena, is_ask, ladder_key(is_ask, price_ticks), lots, fills_left))

    def orders(self, bint is_ask):
        cdef uint32_t handle = ladder_first(&self.ladder, is_ask)
        found = []
        while handle:
            node = self.arena.nodes[handle]
            assert ids_get(&self.ids, self.arena.nodes, node.order_id) == handle
            found.append((node.order_id, ladder_price(&node), node.remaining_lots))
            handle = ladder_after(&self.arena.nodes[handle])
        return found

    def count(self):
        assert self.ids.count == self.arena.live
        return self.arena.live
"""

BUILD = """
import sys
from Cython.Build import cythonize
from setuptools import Extension, setup
face = Extension("walk_face", ["walk_face.pyx"], extra_compile_args=["-O1", "-DJIBEK_DEBUG"])
extensions = cythonize([face], include_path=[sys.argv.pop()], compiler_directives={"language_level": 3}, quiet=True)
setup(name="walk_face", ext_modules=extensions)
"""


@pytest.fixture(scope="module")
def face_class(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The class `Face`, compiled."""
    folder = tmp_path_factory.mktemp("walk")
    (folder / "walk_face.pyx").write_text(FACE)
    (folder / "build.py").write_text(BUILD)
    command = [sys.executable, "build.py", "-q", "build_ext", "--inplace", str(ROOT)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return load(folder)


def load(folder: Path) -> Any:
    sys.path.insert(0, str(folder))
    try:
        import walk_face  # type: ignore[import-not-found]
    finally:
        sys.path.remove(str(folder))
    return walk_face.Face


def simple_walk(
    makers: list[tuple[int, int, int]], is_ask: bool, price: int, lots: int, amount: int, fills_left: int, room: int
) -> tuple[int, list[Fill]]:
    """How the walk ends and what it fills; each maker is asked again what the taker wants."""
    fills: list[Fill] = []
    by_amount = amount > 0
    for order_id, maker_price, there in makers:
        if price and (maker_price < price if is_ask else maker_price > price):
            break
        wanted = amount // maker_price if by_amount else lots
        if wanted == 0:
            return SATISFIED, fills
        if len(fills) == fills_left:
            return FILL_LIMIT, fills
        if len(fills) == room:
            return NO_MEMORY, fills
        filled = min(wanted, there)
        fills.append((order_id, maker_price, filled, there))
        lots, amount = lots - filled, amount - filled * maker_price
        if filled < there:
            return SATISFIED, fills
    # What is left of an amount would buy something at another price.
    return (SATISFIED if lots == 0 and not by_amount else NO_MAKER), fills


def left_of(makers: list[tuple[int, int, int]], fills: list[Fill]) -> list[tuple[int, int, int]]:
    """The makers after the fills."""
    filled = {order_id: lots for order_id, _, lots, _ in fills}
    after = [(order_id, price, lots - filled.get(order_id, 0)) for order_id, price, lots in makers]
    return [order for order in after if order[2]]


@pytest.mark.long
def test_the_walk_agrees_with_a_simple_one(face_class: Any) -> None:
    randomness = random.Random(SEED)
    ends = set()
    for _ in range(3_000):
        face = face_class()
        is_ask = randomness.random() < 0.5
        for order_id in range(1, randomness.randint(1, 20)):
            face.rest(order_id, not is_ask, randomness.choice((20, 21, 22, 60, 4000)), randomness.randint(1, 9))
        face.rest(100, is_ask, 10 if not is_ask else 5000, 1)
        for _ in range(4):
            makers = face.orders(not is_ask)
            amount = randomness.choice((0, randomness.randint(1, 3_000)))
            asked = (
                is_ask,
                0 if amount else randomness.choice((0, 20, 22, 60, 5000)),
                0 if amount else randomness.randint(1, 40),
                amount,
                randomness.choice((1, 2, 5, 64)),
                randomness.choice((0, 1, 3, 64, 64, 64)),
            )
            expected = simple_walk(makers, *asked)
            looked = face.walk(False, *asked)
            assert looked[:2] == expected, (REPEAT, asked, makers)
            # Looking changes nothing, and taking does what was seen.
            assert face.orders(not is_ask) == makers, REPEAT
            assert face.walk(True, *asked) == looked, (REPEAT, asked, makers)
            assert face.orders(not is_ask) == left_of(makers, expected[1]), (REPEAT, asked, makers)
            assert face.count() == len(face.orders(False)) + len(face.orders(True))
            ends.add((expected[0], amount > 0, bool(expected[1])))
    # Every end was seen, by quantity and by amount, after fills.
    assert {(end, by_amount, True) for end in range(4) for by_amount in (False, True)} <= ends


@pytest.mark.long
def test_what_fills_whole_in_so_many_fills(face_class: Any) -> None:
    face = face_class()
    for order_id, price in enumerate((20, 20, 21, 23), 1):
        face.rest(order_id, True, price, 2)
    assert face.fills(False, 21, 6, 3)
    assert not face.fills(False, 21, 6, 2)
    assert not face.fills(False, 21, 7, 64)
    assert face.fills(False, 23, 7, 4)
    assert not face.fills(False, 19, 1, 64)
    assert face.orders(True) == [(1, 20, 2), (2, 20, 2), (3, 21, 2), (4, 23, 2)]
