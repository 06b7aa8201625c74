"""tools/bench: its arithmetic, its workers, and the page that it last wrote."""

import re

import bench
import pytest
from conftest import ROOT


def test_ratio_is_the_median_of_the_rounds():
    assert bench.ratio([2, 30, 4], [1, 10, 1]) == 3


def test_time_per_image_is_flat_where_the_time_is_proportional():
    slow_round = {n: [n, 3 * n, n] for n in bench.SIZES}
    assert bench.per_image(slow_round) == pytest.approx([1] * len(bench.SIZES))
    slow_round[400_000] = [500_000, 1_500_000, 500_000]
    assert bench.per_image(slow_round)[-1] == pytest.approx(1.25)


def test_reached_is_the_first_epoch_at_the_target():
    assert bench.reached([0.91, 0.925, 0.928, 0.92], 0.5) == [[1.0, 2], None]


def test_first_round_does_not_count():
    class Clock:
        calls = 0

        def ask(self, method, step):
            self.calls += step
            return self.calls

    times = bench.interleaved({"a": (Clock(), "tick", 1), "b": (Clock(), "tick", 2)})
    assert times == {"a": list(range(2, 9)), "b": list(range(4, 17, 2))}


def test_worker_times_the_functions_of_the_notebook():
    worker = bench.Worker("Numpy")
    assert worker.read() == "ready\n"
    two, twenty = (worker.ask("seconds", 250, 1, n) for n in (2_000, 20_000))
    assert 2 < twenty / two < 50  # it grows with the images
    worker.stop()
    assert worker.process.returncode == 0


def test_contender_that_fails_ends_the_benchmark(capfd):
    worker = bench.Worker("Numpy")
    worker.read()
    with pytest.raises(SystemExit, match="The contender Numpy failed"):
        worker.ask("seconds", 0)
    assert "batch_size must be positive" in capfd.readouterr().err


def test_page_has_every_contender_in_every_table():
    page = (ROOT / "tools" / "bench.md").read_text("utf-8")
    tables = [t for t in re.split(r"\n\n+", page) if t.startswith("| ")]
    for table in tables[:3]:  # two of an epoch, one of the quality
        for name in bench.CONTENDERS:
            assert f"| {name} |" in table
    assert len(tables) == 5
    for part in bench.PARTS:
        assert all(f"| {part} |" in table for table in tables[:2])
    for figure in re.findall(r"\]\(([^)]+png)\)", page):
        assert (ROOT / "tools" / figure).exists()
