from __future__ import annotations

import time

import pytest

from xfeat_cli.benchmark.spans import Spans
from xfeat_cli.benchmark.timing import Timing, interleaved


def test_both_take_turns_after_a_run_that_does_not_count() -> None:
    calls: list[str] = []
    timing = interleaved(lambda: calls.append("r"), lambda: calls.append("d"), 0, 3)
    assert "".join(calls) == "rdrdrdrd"
    assert timing.runs == 3


def test_a_measurement_lasts_as_long_as_asked() -> None:
    started = time.perf_counter()
    timing = interleaved(lambda: time.sleep(0.02), lambda: None, 0.2, 1)
    assert time.perf_counter() - started >= 0.2
    assert timing.reference_ms >= 20
    assert timing.ratio > 5


def test_waiting_for_the_device_is_part_of_a_run() -> None:
    timing = interleaved(lambda: None, lambda: None, 0, 2, wait=lambda: time.sleep(0.01))
    assert min(timing.reference_ms, timing.default_ms) >= 10


def test_the_time_of_one_item() -> None:
    one = Timing(100, 20, 3).per(10)
    assert (one.reference_ms, one.default_ms, one.runs) == (10, 2, 3)
    assert one.ratio == pytest.approx(5)


class _Worker:
    def work(self, seconds: float) -> float:
        time.sleep(seconds)
        return seconds

    def fail(self) -> None:
        raise ValueError


def test_spans_add_up_and_leave_no_trace() -> None:
    spans, original = Spans(), _Worker.work
    with spans.watching(working=(_Worker, "work"), failing=(_Worker, "fail")):
        assert _Worker().work(0.02) + _Worker().work(0.01) == pytest.approx(0.03)
        with pytest.raises(ValueError):  # noqa: PT011
            _Worker().fail()
    assert _Worker.work is original
    assert spans.seconds["working"] >= 0.03
    assert spans.seconds["failing"] >= 0
