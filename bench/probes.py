"""What one process alone can tell of a book: memory, allocations, instructions. Each probe is a process of its own.

`python -m bench.probes memory|core_memory|allocations|instructions OPERATIONS` prints one number as JSON, null where the system
cannot tell.
"""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.growth import Size, Venue
from bench.resident import resident_bytes
from bench.workload import Workload, own_workload
from engine.book import Book
from engine.records import Side

ROOT = Path(__file__).parent.parent
BATCH_OPERATIONS = 4096
LEVELS = 5_000

ALLOCATION_COUNTER = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdatomic.h>
#include <stddef.h>
static atomic_ulong count;
unsigned long allocation_count(void) { return count; }
extern void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);
void *malloc(size_t size) { count++; return __libc_malloc(size); }
void *calloc(size_t items, size_t size) { count++; return __libc_calloc(items, size); }
void *realloc(void *memory, size_t size) { count++; return __libc_realloc(memory, size); }
int posix_memalign(void **memory, size_t alignment, size_t size) {
    count++;
    *memory = __libc_memalign(alignment, size);
    return *memory == NULL ? 12 : 0;
}
"""


def memory_of_orders(orders: int) -> float | None:
    """Bytes of resident memory for each of `orders` orders on 5,000 levels."""
    book = Book()
    book.place(orders + 1, Side.BUY, 1, 1)
    before = resident_bytes()
    for order_id in range(1, orders + 1):
        # Multiplicative hashing spreads the prices evenly over the levels.
        distance = 1 + (order_id * 2654435761 % 2**32 >> 8) % (LEVELS // 2)
        if order_id % 2:
            book.place(order_id, Side.SELL, 100_000 + distance, 10)
        else:
            book.place(order_id, Side.BUY, 100_000 - distance, 10)
    after = resident_bytes()
    return None if after is None or before is None else (after - before) / orders


def memory_of_core_orders(orders: int) -> float | None:
    """Bytes of resident memory for each of `orders` orders in the core, of 1,000 accounts on 5,000 levels, with client ids."""
    venue = Venue(Size(1_000, 1, orders, LEVELS // 2))
    resting = venue.new_orders(orders)
    before = resident_bytes()
    venue.execute(venue.batches_of(resting))
    after = resident_bytes()
    return None if after is None or before is None else (after - before) / venue.core.open_order_count


def allocations_after_warm_up(operations: int) -> int | None:
    """Calls of the C allocator in the second half of a workload; needs the counter to be preloaded."""
    try:
        allocation_count = ctypes.CDLL(None).allocation_count
    except AttributeError:
        return None
    allocation_count.restype = ctypes.c_ulong
    workload = own_workload("W1", operations)
    book = Book()
    half = operations // 2
    apply_all(book, workload.operations[:half])
    batches = batches_of(workload.operations[half:])
    before = allocation_count()
    for batch in batches:
        book.apply(batch)
    return int(allocation_count() - before)


def apply_all(book: Book, operations: Any) -> None:
    for batch in batches_of(operations):
        book.apply(batch)


def batches_of(operations: Any) -> list[Any]:
    return [operations[at : at + BATCH_OPERATIONS] for at in range(0, len(operations), BATCH_OPERATIONS)]


def count_allocations(operations: int) -> int | None:
    """Runs that probe under a counting allocator; None where there is no glibc or no compiler."""
    compiler = shutil.which("cc")
    if compiler is None or not sys.platform.startswith("linux"):
        return None
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / "counter.so"
        command = [compiler, "-O2", "-w", "-shared", "-fPIC", "-x", "c", "-", "-o", str(library)]
        if subprocess.run(command, input=ALLOCATION_COUNTER, text=True, capture_output=True).returncode:
            return None
        told: int | None = ask("allocations", operations, {"LD_PRELOAD": str(library)})
        return told


def count_instructions(operations: int) -> float | None:
    """Instructions of the batch call for each operation; None where valgrind is not installed."""
    if shutil.which("valgrind") is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "callgrind"
        command = ["valgrind", "--tool=callgrind", "--toggle-collect=*Book__apply*", f"--callgrind-out-file={out}"]
        command += [sys.executable, "-m", "bench.probes", "instructions", str(operations)]
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
        summaries = [line for line in out.read_text().splitlines() if line.startswith(("summary:", "totals:"))]
        return int(summaries[-1].split()[1]) / operations


def run_workload(operations: int) -> None:
    """What is run under callgrind."""
    workload: Workload = own_workload("W1", operations)
    apply_all(Book(), workload.operations)


def ask(probe: str, count: int, environment: dict[str, str] | None = None) -> Any:
    """Runs a probe in a process of its own."""
    command = [sys.executable, "-m", "bench.probes", probe, str(count)]
    done = subprocess.run(
        command, cwd=ROOT, check=True, capture_output=True, text=True, env={**os.environ, **(environment or {})}
    )
    return json.loads(done.stdout)


PROBES: dict[str, Callable[[int], Any]] = {
    "memory": memory_of_orders,
    "core_memory": memory_of_core_orders,
    "allocations": allocations_after_warm_up,
    "instructions": run_workload,
}

if __name__ == "__main__":
    print(json.dumps(PROBES[sys.argv[1]](int(sys.argv[2]))))
