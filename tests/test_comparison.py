"""The three levels side by side; and any cell of the notebook, run again."""

import copy
import re

import numpy as np
import pytest
from conftest import SOURCE, assert_says, column, numbers, show_cells
from oracles import score, seed_of, sets, textbook_sgd

LEVELS = ["Keras", "Theano", "numpy"]


def words(text):
    """Return what a text says beside its numbers."""
    return re.sub(r"[\d.,%]+", "", text)


# --- What the levels report ---

PRINTS = {
    "Keras": ["level-1-train", "level-1-evaluate"],
    "Theano": ["level-2-train"],
    "numpy": ["level-3-best", "level-3-test"],
}


@pytest.mark.parametrize("level", LEVELS)
def test_a_level_reports_how_it_was_trained(executed, level):
    """The sets are the level's own, and it prints what it reports."""
    names = executed.names
    train, valid, test = sets(names)
    keras, theano, best = names["keras_model"], names["theano_model"], names["best"]
    weights = {
        "Keras": keras.get_weights(),
        "Theano": [theano.W.get_value(), theano.b.get_value()],
        "numpy": [best["W"], best["b"]],
    }[level]
    result = names[f"{level.lower()}_result"]
    rate, batch_size, epochs, accuracies, *_ = result.values()
    assert len(accuracies) == epochs, "it stopped early"
    found = {"validation": accuracies[-1], "test": result["test_accuracy"]}
    printed = "".join(executed.shown[cell_id].printed for cell_id in PRINTS[level])
    for part, (X, y) in ("validation", valid), ("test", test):
        expected = score(X, y, *weights)[1]
        assert found[part] == pytest.approx(expected, abs=2.1 / len(y)), part
        assert_says(printed, found[part])
    if level != "Keras":  # which has an order of its own
        seed = seed_of(names["sgd"])
        W = textbook_sgd(train, rate, batch_size, epochs, seed)[-1][0]
        difference = np.abs(weights[0] - W).max() / np.abs(W).max()
        assert difference < 1e-3, f"not trained as reported: W differs by {difference}"


def test_all_levels_follow_one_rule(executed):
    results = {level: executed.names[f"{level.lower()}_result"] for level in LEVELS}
    rules = {level: (r["batch_size"], r["epochs"]) for level, r in results.items()}
    assert len(set(rules.values())) == 1, f"batch size, epochs: {rules}"
    # numpy's rate is chosen, here on few images.
    rates = {level: results[level]["learning_rate"] for level in LEVELS[:2]}
    assert len(set(rates.values())) == 1, f"learning rate: {rates}"


TRAIN = {"level-1-train": "fit_model", "level-2-train": "main", "level-3-sweep": "sgd"}


@pytest.mark.parametrize("cell_id", TRAIN)
def test_an_interrupted_training_leaves_the_old_result(executed, cell_id):
    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    results = ["keras_training", *(f"{level.lower()}_result" for level in LEVELS)]
    names = executed.names | {TRAIN[cell_id]: interrupted}
    names |= {name: copy.deepcopy(names[name]) for name in results}
    with pytest.raises(KeyboardInterrupt):
        show_cells(names, cell_id)
    for name in results:
        assert str(names[name]) == str(executed.names[name]), f"{name} is half new"


def test_playing_tabulates_each_training_in_its_own_row(executed):
    calls = []

    def fit_model(learning_rate=1.0, batch_size=500, epochs=20):
        accuracies = [(10 * len(calls) + i) / 100 for i in range(1, 1 + epochs)]
        calls.append((learning_rate, batch_size, *accuracies))
        return None, {"valid_accuracies": accuracies, "seconds": 7.0}

    names = executed.names | {"fit_model": fit_model}
    for _ in "once", "again":
        calls.clear()
        header, *rows = show_cells(names, "level-1-play").tables[-1]
        for row, says in zip(rows, calls, strict=True):
            assert len(row) == len(header)
            assert_says(" | ".join(row), *says)


# --- Section 7 ---

KEYS = ["learning_rate", "batch_size", "epochs"]
KEYS += ["valid_accuracies", "test_accuracy", "seconds"]
# What the levels may report, all different, and the seconds of the second training.
RESULTS = {
    level: dict(zip(KEYS, values, strict=True))
    for level, *values in [
        ("Keras", 0.5, 100, 30, [0.1, 0.61], 0.62, 4.0),
        ("Theano", 1.5, 101, 31, [0.1, 0.71], 0.72, 6.0),
        ("numpy", 2.5, 102, 32, [0.1, 0.81], 0.82, 8.0),
    ]
}
AGAIN = {"Keras": 5.0, "Theano": 7.0, "numpy": 9.0}
PLANTED = {f"{level.lower()}_result": result for level, result in RESULTS.items()}
PLANTED |= {f"{level.lower()}_again": {"seconds": AGAIN[level]} for level in AGAIN}
PLANTED |= {"numpy_again": 9.0, "results": RESULTS, "again": AGAIN}


def test_table_shows_each_level_s_own_results(executed):
    (table,) = executed.show("comparison-table", **PLANTED).tables
    heads = "validation", "test", "time"
    rows = zip(table[1:], *(column(table, head) for head in heads), strict=True)
    for (row, *cells), (level, result) in zip(rows, RESULTS.items(), strict=True):
        *parameters, (_, valid), test, seconds = result.values()
        assert level in row[0]
        assert_says(" | ".join(row), *parameters, valid, test, seconds, AGAIN[level])
        for cell, value in zip(cells, (valid, test, seconds), strict=True):
            assert_says(cell, value)


def test_bars_are_the_run_times_and_the_axis_names_the_levels(executed):
    shown = executed.show("comparison-plot", **PLANTED)
    (ax,) = shown.figures[0].axes
    boxes = np.array([bar.get_bbox().bounds for bar in ax.patches])
    lying = np.ptp(boxes[:, 3]) < 1e-9
    axis, across = (ax.yaxis, 1) if lying else (ax.xaxis, 0)
    centres, lengths = boxes[:, across] + boxes[:, across + 2] / 2, boxes[:, 3 - across]
    names = [label.get_text() for label in axis.get_ticklabels()]
    for level, result in RESULTS.items():
        place = axis.get_ticklocs()[names.index(level)]
        expected = [result["seconds"], AGAIN[level]]
        assert sorted(lengths[abs(centres - place) < 0.5]) == sorted(expected), level
        assert_says(shown.description.partition(level)[2], *expected)
    said = [number for text in ax.texts for number, _ in numbers(text.get_text())]
    assert sorted(said) == sorted(lengths), "each bar has its number"


# --- 8.4: one model, or not ---


def test_levels_are_found_to_be_one_model_unless_one_of_them_differs(executed):
    names = executed.names

    def keras_off(rate):
        model = names["new_model"](rate)
        get_weights = model.get_weights
        model.get_weights = lambda: [get_weights()[0], get_weights()[1] + 0.01]
        return model

    theano_off = copy.deepcopy(names["theano_model"])
    theano_off.b.set_value(theano_off.b.get_value() + np.float32(0.01))
    numpy_off = names["best"] | {"W": names["best"]["W"] + 0.01}
    faults = {"new_model": keras_off, "theano_model": theano_off, "best": numpy_off}
    verdict = words(executed.shown["one-model"].printed)
    for name, fault in faults.items():
        other = words(executed.show("one-model", **{name: fault}).printed)
        assert other != verdict, f"{name} is off by 0.01, or the levels really differ"


def test_paired_test_tells_a_difference_from_chance_both_ways(executed):
    """Planted: the numbers of images on which Keras alone, numpy alone is right."""
    names = executed.names
    X, y = sets(names)[2]
    guesses = (X @ names["best"]["W"] + names["best"]["b"].T).argmax(axis=1)
    right, wrong = np.flatnonzero(guesses == y), np.flatnonzero(guesses != y)

    def verdict(only_keras, only_numpy):
        keras = guesses.copy()
        keras[wrong[:only_keras]] = y[wrong[:only_keras]]
        keras[right[:only_numpy]] = (y[right[:only_numpy]] + 1) % 10
        text = executed.show("paired-test", keras_predicted=keras).printed
        assert_says(text, only_keras, only_numpy)
        return words(text)

    chance = verdict(5, 5)
    assert verdict(10, 5) == verdict(5, 11) == chance, "within twice the square root"
    assert verdict(12, 1) == verdict(1, 12) == verdict(0, 9) != chance
    found = np.mean(names["keras_predicted"] == y)
    assert found == names["keras_result"]["test_accuracy"]


# --- Any cell can be run again ---


def data_of(figure):
    """Return what is drawn of the data."""
    drawn = []
    for ax in figure.axes:
        drawn += [line.get_xydata() for line in ax.lines]
        drawn += [image.get_array() for image in ax.images]
        drawn += [bar.get_bbox().bounds for bar in ax.patches]
        drawn += [path.vertices for each in ax.collections for path in each.get_paths()]
    return [np.asarray(array, float).tobytes() for array in drawn]


def test_every_cell_can_be_run_again(executed):
    """After Run All: from the last to the first, then from the first to the last.

    On the way back each cell finds what later cells left, on the way forth what its
    own second run left. (Keras's trainings take long: they run again once.)
    """
    names, ids = executed.names.copy(), list(executed.shown)
    forth = [cell_id for cell_id in ids if "fit_model(" not in SOURCE[cell_id]]
    for cell_id in [*reversed(ids), *forth]:
        first, again = executed.shown[cell_id], show_cells(names, cell_id)
        what = f"{cell_id}, run again after later cells, shows other"
        assert again.printed == first.printed, f"{what} text"
        assert again.tables == first.tables, f"{what} tables"
        assert again.description == first.description, f"{what} descriptions"
        for figure, before in zip(again.figures, first.figures, strict=True):
            assert data_of(figure) == data_of(before), f"{what} figures"


def test_no_figure_is_cut_off(executed):
    figures = [(i, f) for i, shown in executed.shown.items() for f in shown.figures]
    for cell_id, figure in figures:
        figure.draw_without_rendering()
        for corner in figure.get_tightbbox().padded(-0.02).corners():
            assert figure.bbox_inches.contains(*corner), f"{cell_id}: it is cut off"
        titles = [figure.get_suptitle(), *(ax.get_title() for ax in figure.axes)]
        assert any(titles), f"{cell_id}: its figure has no title"
