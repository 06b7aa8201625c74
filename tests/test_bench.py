"""tools/bench.py: its arithmetic, a contender that fails, the page it last wrote."""

import itertools

import bench
import pytest
from conftest import ROOT
from run import MARKER

PAGE = (ROOT / "tools" / "bench.md").read_text("utf-8")


def test_ratios_are_medians_of_rounds_of_which_the_first_does_not_count(monkeypatch):
    ticks = itertools.count()
    monkeypatch.setattr(bench, "seconds", lambda key: (key, next(ticks)))
    times = bench.interleaved({"a": ["a"], "b": ["b"]})
    assert times["b"] == [("b", n) for n in range(3, 17, 2)]
    assert bench.ratio([2, 30, 4], [1, 10, 1]) == 3
    proportional = {n: [n, 3 * n, n] for n in bench.SIZES}
    assert bench.growth(proportional) == pytest.approx(dict.fromkeys(bench.SIZES, 1))


def test_target_is_reached_in_the_first_epoch_that_has_it():
    assert bench.reached([0.91, 0.928, 0.92], 0.5) == ["1.0 s (2)", "–"]


def test_contender_trains_the_notebook_s_level_and_one_that_fails_is_named(capfd):
    process = bench.start(bench.level_3)
    times, (accuracy,) = bench.train(process, epochs=1, whole=True)
    assert len(times) == 1 and accuracy > 0.9
    with pytest.raises(SystemExit, match="The contender level_3 failed"):
        bench.train(process, epochs=0)
    assert "epochs=0" in capfd.readouterr().err


def test_page_is_filled_and_has_every_contender_in_its_tables():
    values = {expression.strip(): value for expression, value in MARKER.findall(PAGE)}
    assert "–" not in {value.strip() for value in values.values()}
    for name in bench.CONTENDERS:
        assert f"| {name} |" in values["speed"]
        assert f"| {name} |" in values["quality"] or name == bench.FLOOR
