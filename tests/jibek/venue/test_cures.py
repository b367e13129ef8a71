"""What is known about the ends of processes: their own words, and the cure."""

from __future__ import annotations

import pytest

from jibek.venue.cures import cure_of, passing_cause, with_cure

# What the process says, words of the cure, and whether the cause may pass.
KNOWN = (
    ("the program cannot be run: /opt/valkey-server (No such file or directory)", "put it back", True),
    ("Fatal error, can't open config file '/d/store/valkey.conf': No such file or directory", "written again", True),
    ("# Short write while writing to the AOF file: (nwritten=73568, expected=100033)", "disk is full", True),
    ("OSError: [Errno 28] No space left on device", "disk is full", True),
    ("[Errno 122] Disk quota exceeded", "disk is full", True),
    ("# Can't open the append-only file: Read-only file system", "read-only", True),
    ("gateway ERROR cannot listen on 127.0.0.1:9443: Address already in use", "--port", False),
    ("OSError: [Errno 24] Too many open files", "ulimit -n", False),
    ("OSError: [Errno 12] Cannot allocate memory", "too little memory", False),
    ("MemoryError", "too little memory", False),
    ("# Bad file format reading the append only file appendonly.aof.1.incr.aof: make a backup", "backup", False),
    ("# Can't handle RDB format version 99", "newer server", False),
    ("# Can't open the append-only file: Permission denied", "chown", False),
    ("ModuleNotFoundError: No module named 'engine.core.core'", "make build", False),
    (
        "StoreRefused: the functions `jibek_journal` in the store are not those of this version",
        "damaged, or another version",
        False,
    ),
    ("ChainBroken: entry 1-7 does not follow 1-5: it names 1-6", "last backup", False),
    (
        "# Unable to obtain the AOF file appendonly.aof.1.incr.aof length. stat: No such file or directory",
        "folder of the store",
        False,
    ),
    ("FileNotFoundError: [Errno 2] No such file or directory: '/d/secret.key'", "put back what is named", False),
    ("store error: Connection closed by server.", "larger `--store-memory`", False),
    ("invalid username-password pair or user is disabled.", "--store-file", False),
    ("NOAUTH Authentication required.", "--store-file", False),
    ("this venue has rules version 3", "start it with that version", False),
)


@pytest.mark.parametrize(("said", "cure", "passes"), KNOWN, ids=[row[0][:40] for row in KNOWN])
def test_a_known_cause_has_a_cure(said: str, cure: str, passes: bool) -> None:
    assert cure in cure_of(said)
    assert bool(passing_cause(said)) == passes
    assert with_cure(["It ended."], said) == f"It ended. {cure_of(said)}"


def test_an_unknown_cause_has_none() -> None:
    said = "* Ready to accept connections unix\nbye bye"
    assert (cure_of(said), passing_cause(said), with_cure(["It ended."], said)) == ("", "", "It ended.")
