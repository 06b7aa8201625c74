"""The learning rates: each is trained, timed and shown, and the best one is chosen."""

from types import SimpleNamespace

import numpy as np
import pytest
from cells import capture, numbers
from textbook import assert_same, score, sets, textbook_sgd

RATES = [10.0**k for k in range(-10, 3)]
KEYS = "loss", "accuracy"


@pytest.mark.parametrize("rate", [1e-3, 1.0])
def test_sweep_trains_as_textbook(rate, level_3):
    runs = {run["learning_rate"]: run for run in level_3.names["runs"]}
    assert np.isfinite(runs[100.0]["history"]["loss"]).all(), "it overflows at 100"
    run = runs[rate]
    training, valid, _ = sets(level_3.names)
    weights = run["W"], run["b"]
    expected = textbook_sgd(training, rate, run["batch_size"], run["epochs"])
    assert_same(weights, expected)
    last = [run["history"][key][-1] for key in KEYS]
    assert last == pytest.approx(list(score(*valid, *weights)), rel=1e-3)


@pytest.fixture
def invented(level_3):
    """A sweep with invented histories, whose trainings take 1, 2, 3... seconds."""
    rng = np.random.default_rng(6)
    histories = []

    def sgd(*args, **options):
        histories.append({k: list(rng.random(20)) for k in KEYS})
        return None, None, histories[-1]

    time = SimpleNamespace(perf_counter=lambda: sum(range(len(histories) + 1)))
    names = level_3.names | {"sgd": sgd, "time": time}
    printed, _ = capture(names, "level-3-sweep")
    return SimpleNamespace(names=names, printed=printed, histories=histories)


def test_sweep_prints_each_rate(invented):
    assert [run["learning_rate"] for run in invented.names["runs"]] == RATES
    rows = invented.printed.splitlines()[-len(RATES) :]
    for second, row in enumerate(rows, 1):
        history = invented.histories[second - 1]
        last_ten = 100 * np.array(history["accuracy"][-10:])
        expected = [history["loss"][-1], last_ten[-1], last_ten.min(), last_ten.max()]
        assert numbers(row)[0] == pytest.approx(RATES[second - 1]), row
        assert numbers(row)[1:] == pytest.approx([*expected, second], abs=0.06), row


def is_drawn(figures, points):
    """Tell whether a line in one of the figures has these points."""
    axes = [ax for figure in figures for ax in figure.axes]
    drawn = [line.get_xydata() for ax in axes for line in ax.lines]
    return any(len(each) == len(points) and np.allclose(each, points) for each in drawn)


def test_best_is_best_at_the_end(invented):
    """Not in an earlier epoch, nor in loss."""
    last = {k: [each[k][-1] for each in invented.histories] for k in KEYS}
    highest = np.argmax(last["accuracy"])
    printed, _ = capture(invented.names, "level-3-best")
    assert invented.names["best"]["learning_rate"] == RATES[highest], "wrong rate"
    expected = [RATES[highest], 100 * last["accuracy"][highest]]
    assert numbers(printed)[:2] == pytest.approx(expected, abs=0.006), printed
    _, figures = capture(invented.names, "level-3-sweep-plot")
    for name, values in last.items():
        points = list(zip(RATES, values, strict=True))
        assert is_drawn(figures, points), f"no line has each rate's last {name}"
    best = [(RATES[highest], last["accuracy"][highest])]
    assert is_drawn(figures, best), "the best rate is not marked"
