"""The share of `make test` in the fuzzing of the gateway; `make fuzz` goes on with new seeds."""

from __future__ import annotations

import pytest

from tests.gateway.wire import fuzz_run
from tests.gateway.wire.fuzz_frames import Keys, case
from tests.gateway.wire.fuzz_run import Fuzzer, FuzzFailure
from tests.worlds.accounts import HmacKey

CASES = 16_000
"""For each seed; all of them together take about a minute of one core."""


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_whatever_is_sent_is_answered_and_changes_only_what_it_says(seed: int) -> None:
    fuzzer = Fuzzer(seed)
    try:
        fuzzer.run(iter(range(CASES)))
    finally:
        fuzzer.close()
    # -2011: a cancel of what is not open, which the gateway refuses in the place of the engine.
    for kind in ("params", "text", "structure", "stream", "frames", "http", "good", "code -2011"):
        assert fuzzer.counts[kind] > CASES // 200, f"hardly any of the kind {kind}: {fuzzer.counts}"
    codes = {name for name in fuzzer.counts if name.startswith("code ")}
    assert len(codes) > 20, f"only these refusals were met: {codes}"


def test_a_failure_names_the_frame_and_the_command_to_repeat_it(monkeypatch: pytest.MonkeyPatch) -> None:
    fuzzer = Fuzzer(7)
    try:
        monkeypatch.setattr(fuzz_run, "CPU_S_MAX", -1.0)
        with pytest.raises(FuzzFailure) as caught:
            fuzzer.run(iter([5]))
    finally:
        fuzzer.close()
    text = str(caught.value)
    assert "python -m tests.gateway.wire.fuzz_run --seed 7 --first 5 --count 1" in text
    assert "frame b" in text


def test_a_case_is_the_same_each_time() -> None:
    key = HmacKey("key", "secret")
    keys = Keys(key, key)  # type: ignore[arg-type]
    for number in range(50):
        one, other = case(3, number, keys), case(3, number, keys)
        assert (one.kind, len(one.data)) == (other.kind, len(other.data))
