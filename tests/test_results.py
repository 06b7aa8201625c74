"""What Level 3 and sections 7 and 8 print, draw and report, computed otherwise."""

import re

import numpy as np
import pytest
from common import fill
from conftest import CODE, SOURCE, numbers, show
from numpy.testing import assert_allclose
from oracles import assert_same, score, sets, textbook_sgd


def drawn(figure):
    """Return the points of all lines in a figure."""
    return [line.get_xydata() for ax in figure.axes for line in ax.lines]


def is_drawn(figure, points):
    return any(
        len(each) == len(points) and np.allclose(each, points) for each in drawn(figure)
    )


@pytest.mark.parametrize("rate", [1e-10, 1e-3, 1.0])
def test_sweep_trains_as_textbook(rate, executed):
    (run,) = (run for run in executed.names["runs"] if run["rate"] == rate)
    training, valid, _ = sets(executed.names)
    weights = run["W"], run["b"]
    assert_same(weights, textbook_sgd(training, rate, **executed.names["numpy_rule"]))
    assert_allclose(run["history"][-1], score(*valid, *weights), rtol=1e-3)


def test_sweep_shows_each_rate(executed):
    runs = executed.names["runs"]
    assert [run["rate"] for run in runs] == [10.0**k for k in range(-10, 3)]
    rows = executed.printed["level-3-sweep"].splitlines()[-len(runs) :]
    for row, run in zip(rows, runs, strict=True):
        losses, accuracies = run["history"][-10:].T
        spread = 100 * accuracies.min(), 100 * accuracies.max()
        expected = [losses[-1], 100 * accuracies[-1], *spread, run["seconds"]]
        assert_allclose(numbers(row)[1:], expected, atol=0.06)
    for i in 0, 1:
        last = [(run["rate"], run["history"][-1, i]) for run in runs]
        figure = executed.figures["level-3-sweep-plot"][0]
        assert is_drawn(figure, last), "the plot shows other numbers"


def test_best_is_best_at_the_end(executed):
    """Not in an earlier epoch, nor in loss."""
    history = np.full((13, 20, 2), 0.5)
    history[4, -1], history[6, -5], history[8, -1] = (0.7, 0.8), (0.6, 0.9), (0.1, 0.7)
    runs = [
        run | {"history": each}
        for run, each in zip(executed.names["runs"], history, strict=True)
    ]
    names = executed.names | {"runs": runs}
    printed, _ = show(names, "level-3-best")
    assert names["best"] is runs[4]
    assert numbers(printed)[:2] == [runs[4]["rate"], 80] and 90 in numbers(printed)
    (figure,) = show(names, "level-3-sweep-plot")[1]
    assert is_drawn(figure, [(runs[4]["rate"], 0.8)]), "the best rate is not marked"


# --- Sections 7 and 8 ---


def test_plateau_is_one_step(executed):
    (X, y), (images, labels), _ = sets(executed.names)
    error = np.eye(10)[y] - 0.1
    one_step = (images @ (X.T @ error) + error.sum(axis=0)).argmax(axis=1)
    rows = executed.printed["plateau"].splitlines()[-8:]
    for row, run in zip(rows, executed.names["runs"], strict=False):
        differing = (images @ run["W"] + run["b"].T).argmax(axis=1) != one_step
        assert numbers(row)[1] == pytest.approx(differing.sum(), abs=1)  # in 32 bits
    said = numbers(executed.printed["plateau"])
    assert np.isclose(said, 100 * np.mean(one_step == labels), atol=0.4).any()


def test_confusion_counts_each_pair(executed):
    images, labels = sets(executed.names)[1]
    best = executed.names["best"]
    guesses = (images @ best["W"] + best["b"].T).argmax(axis=1)
    (ax,) = executed.figures["learned-confusion"][0].axes
    texts = {text.get_position(): int(text.get_text()) for text in ax.texts}
    for true, guess in np.ndindex(10, 10):
        count = np.sum((labels == true) & (guesses == guess))
        assert texts[guess, true] == count, f"{true} taken for {guess}"
    assert "true" in ax.get_ylabel(), "rows are true digits, columns are predictions"


# Levels 2 and 3 agree, so exchanged results show only if all values differ.
PLANTED = {"keras_test": 0.41, "theano_test": 0.42, "numpy_test": 0.43}
PLANTED |= {"keras_seconds": 51.0, "theano_seconds": 52.0, "theano_compiling": 59.0}
PLANTED["best"] = {"rate": 3.5, "seconds": 53.0}
PLANTED["numpy_rule"] = {"batch_size": 103, "epochs": 203}
for n, name in (1, "keras"), (2, "theano"):
    rule = {"learning_rate": n + 0.5, "batch_size": 100 + n, "epochs": 200 + n}
    PLANTED[f"{name}_rule"] = rule
LEVELS = {n: [n + 0.5, 100 + n, 200 + n, 40 + n, 50 + n] for n in (1, 2, 3)}


def rows_of(cell_id):
    """Return the rows of the table in a text, filled in from the planted results."""
    text = fill(SOURCE[cell_id], lambda expression: eval(expression, dict(PLANTED)))
    text = re.sub(r"<!--.*?-->|\*", "", text)
    return [row.split("|")[1:-1] for row in re.findall(r"^\|.*\|$", text, re.MULTILINE)]


@pytest.mark.parametrize("level", LEVELS)
def test_reports_show_own_results(level):
    asked = ["learning rate", "batch size", "epochs", "test accuracy", "run time"]
    rows = rows_of(f"level-{level}-report")
    for name, value in zip(asked, LEVELS[level], strict=True):
        (found,) = (cell for head, cell in rows if name in head)
        assert numbers(found) == [value], f"{name} is {found} instead of {value}"
    header, _, *rows = rows_of("title")
    assert "accuracy" in header[1] and "time" in header[2]
    assert numbers(" ".join(rows[level - 1])) == [level, *LEVELS[level][-2:]]


def test_comparison_shows_own_results(executed):
    printed, _ = show(executed.names | PLANTED, "comparison-table")
    rows = printed.splitlines()[-3:]
    for row, (level, values) in zip(rows, LEVELS.items(), strict=True):
        assert numbers(row) == values, f"Level {level}: {row}"


def test_cells_run_again_backwards(executed):
    """A name that two cells write would now hold the value of the wrong one."""
    names = dict(executed.names)
    for cell in reversed(CODE):
        if cell.id not in ("load-data", "level-1-play"):  # all images; five trainings
            show(names, cell.id)
    assert names["best"]["rate"] == executed.names["best"]["rate"]
