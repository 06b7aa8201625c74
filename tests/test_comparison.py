"""The three levels side by side; and any cell of the notebook, run again."""

import copy
import inspect
import re

import numpy as np
import pytest
from conftest import SOURCE, assert_says, column, numbers, show_cells
from oracles import score, sets, textbook_sgd

LEVELS = ["Keras", "Theano", "numpy"]


def weights_of(names):
    """Return {level: (W, b)} of the trained models."""
    theano, best = names["theano_model"], names["best"]
    return {
        "Keras": names["keras_model"].get_weights(),
        "Theano": [theano.W.get_value(), theano.b.get_value()],
        "numpy": [best["W"], best["b"]],
    }


def words(text):
    """Return what a text says beside its numbers."""
    return re.sub(r"[\d.,%]+", "", text)


# --- What the levels report ---


@pytest.mark.parametrize("level", LEVELS)
def test_a_level_reports_how_it_was_trained(executed, level):
    names = executed.names
    train, valid, test = sets(names)
    result = names[f"{level.lower()}_result"]
    W, b = weights_of(names)[level]
    accuracies = result["valid_accuracies"]
    assert len(accuracies) == result["epochs"], "it stopped early"
    for what, found, part in (
        ("validation", accuracies[-1], valid),
        ("test", result["test_accuracy"], test),
    ):
        expected = score(*part, W, b)[1]
        assert found == pytest.approx(expected, abs=2.1 / len(part[0])), what
    if level != "Keras":  # which has an order of its own
        keys = "learning_rate", "batch_size", "epochs"
        seed = inspect.signature(names["sgd"]).parameters["seed"].default
        textbook = textbook_sgd(train, *(result[key] for key in keys), seed)
        difference = np.abs(W - textbook[-1][0]).max()
        assert difference < 1e-3 * np.abs(W).max(), "trained otherwise than reported"


def test_all_levels_follow_one_rule(executed):
    """Parameters are compared where a training takes them, not where they are typed."""
    rules = {
        level: [executed.names[f"{level.lower()}_result"][k] for k in keys]
        for level, keys in {
            "Keras": ["batch_size", "epochs", "learning_rate"],
            "Theano": ["batch_size", "epochs", "learning_rate"],
            "numpy": ["batch_size", "epochs"],  # its rate is chosen on few images here
        }.items()
    }
    assert rules["Keras"] == rules["Theano"], rules
    assert rules["Keras"][:2] == rules["numpy"], rules


@pytest.mark.parametrize(
    ("cell_id", "level", "key"),
    [
        ("level-1-train", "keras_training", "valid_accuracies"),
        ("level-1-train", "keras_training", "seconds"),
        ("level-1-evaluate", "keras_result", "test_accuracy"),
        ("level-2-train", "theano_result", "valid_accuracies"),
        ("level-2-train", "theano_result", "test_accuracy"),
        ("level-2-train", "theano_result", "seconds"),
        ("level-3-test", "numpy_result", "test_accuracy"),
    ],
)
def test_a_level_prints_its_result(executed, cell_id, level, key):
    value = np.ravel(executed.names[level][key])[-1]
    assert_says(executed.shown[cell_id].printed, value)


@pytest.mark.parametrize(
    ("cell_id", "trains"),
    [
        ("level-1-train", "fit_model"),
        ("level-2-train", "main"),
        ("level-3-sweep", "sgd"),
    ],
)
def test_an_interrupted_training_leaves_the_old_result(executed, cell_id, trains):
    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    records = ["keras_training", *(f"{level.lower()}_result" for level in LEVELS)]
    names = executed.names | {trains: interrupted}
    names |= {name: copy.deepcopy(names[name]) for name in records}
    with pytest.raises(KeyboardInterrupt):
        show_cells(names, cell_id)
    for name in records:
        assert str(names[name]) == str(executed.names[name]), f"{name} is half new"


def test_playing_tabulates_each_training_in_its_own_row(executed):
    calls = []

    def fit_model(learning_rate=1.0, batch_size=500, epochs=20):
        accuracies = [(10 * len(calls) + i) / 100 for i in range(1, 1 + epochs)]
        calls.append((learning_rate, batch_size, *accuracies, 7.5 + len(calls)))
        return None, {"valid_accuracies": accuracies, "seconds": calls[-1][-1]}

    header, *rows = executed.show("level-1-play", fit_model=fit_model).tables[-1]
    assert {len(row) for row in rows} == {len(header)}
    for row, said in zip(rows, calls, strict=True):
        assert_says(" | ".join(row), *said)


# --- Section 7 ---


@pytest.fixture
def planted():
    """What the levels may report, all different: names of section 7."""
    results = {
        level: {
            "learning_rate": 0.5 + n,
            "batch_size": 100 + n,
            "epochs": 30 + n,
            "valid_accuracies": [0.1, 0.61 + n / 10],
            "test_accuracy": 0.62 + n / 10,
            "seconds": 4.0 + 2 * n,
        }
        for n, level in enumerate(LEVELS)
    }
    again = {level: 5.0 + 2 * n for n, level in enumerate(LEVELS)}
    names = {f"{level.lower()}_result": result for level, result in results.items()}
    names |= {"results": results, "again": again, "numpy_again": again["numpy"]}
    for level in "Keras", "Theano":
        names[f"{level.lower()}_again"] = {"seconds": again[level]}
    return names


def test_table_shows_each_level_s_own_results(executed, planted):
    (table,) = executed.show("comparison-table", **planted).tables
    rows = table[1:]
    for row, (level, result) in zip(rows, planted["results"].items(), strict=True):
        *parameters, (_, valid), test, seconds = result.values()
        assert level in row[0]
        again = planted["again"][level]
        assert_says(" | ".join(row[1:]), *parameters, valid, test, seconds, again)
        place = rows.index(row)
        for head, value in ("validation", valid), ("test", test), ("time", seconds):
            assert_says(column(table, head)[place], value)


def test_bars_are_the_run_times_and_the_axis_names_the_levels(executed, planted):
    shown = executed.show("comparison-plot", **planted)
    (figure,), (description,) = shown.figures, shown.descriptions
    figure.draw_without_rendering()
    (ax,) = figure.axes
    boxes = [bar.get_bbox() for bar in ax.patches]
    lying = np.ptp([box.height for box in boxes]) < 1e-9
    axis = ax.yaxis if lying else ax.xaxis
    names = [label.get_text() for label in axis.get_ticklabels()]
    for level, result in planted["results"].items():
        place = axis.get_ticklocs()[names.index(level)]
        lengths = [
            box.width if lying else box.height
            for box in boxes
            if abs((box.y0 + box.y1 if lying else box.x0 + box.x1) / 2 - place) < 0.5
        ]
        expected = [result["seconds"], planted["again"][level]]
        assert sorted(lengths) == sorted(expected), level
        assert_says(description.partition(level)[2], *expected)
    said = " | ".join(text.get_text() for text in ax.texts)
    assert len(numbers(said)) == len(boxes), "each bar has its number"


# --- 8.4: one model, or not ---


def test_levels_are_found_to_be_one_model_unless_one_of_them_differs(executed):
    names = executed.names
    verdict = words(executed.shown["one-model"].printed)
    new_model = names["new_model"]

    def keras_off(rate):
        model = new_model(rate)
        get_weights = model.get_weights
        model.get_weights = lambda: [get_weights()[0], get_weights()[1] + 0.01]
        return model

    def theano_off(name):
        model = copy.deepcopy(names["theano_model"])
        shared = getattr(model, name)
        shared.set_value(shared.get_value() + np.float32(0.01))
        return model

    numpy_off = {**names["best"], "W": names["best"]["W"] + 0.01}
    for what, planted in {
        "Keras's biases": {"new_model": keras_off},
        "Theano's biases": {"theano_model": theano_off("b")},
        "Theano's weights": {"theano_model": theano_off("W")},
        "numpy's weights": {"best": numpy_off},
    }.items():
        assert words(executed.show("one-model", **planted).printed) != verdict, (
            f"{what} differ by 0.01, or the levels really differ: look at 8.4"
        )


def test_paired_test_tells_a_difference_from_chance_both_ways(executed):
    """Planted: the numbers of images on which Keras alone, numpy alone is right."""
    names = executed.names
    X, y = sets(names)[2]
    W, b = weights_of(names)["numpy"]
    guesses = (X @ W + b.ravel()).argmax(axis=1)
    right, wrong = np.flatnonzero(guesses == y), np.flatnonzero(guesses != y)

    def printed(only_keras, only_numpy):
        keras = guesses.copy()
        keras[wrong[:only_keras]] = y[wrong[:only_keras]]
        keras[right[:only_numpy]] = (y[right[:only_numpy]] + 1) % 10
        text = executed.show("paired-test", keras_predicted=keras).printed
        assert_says(text, only_keras, only_numpy)
        return words(text)

    chance = printed(5, 5)
    assert printed(10, 5) == printed(5, 11) == chance, "within twice the square root"
    assert printed(12, 1) == printed(1, 12) == printed(0, 9) != chance
    found = executed.names["keras_predicted"]
    assert np.mean(found == y) == executed.names["keras_result"]["test_accuracy"]


# --- Any cell can be run again ---


def data_of(figure):
    """Return what is drawn of the data."""
    drawn = []
    for ax in figure.axes:
        drawn += [line.get_xydata() for line in ax.lines]
        drawn += [image.get_array() for image in ax.images]
        drawn += [bar.get_patch_transform().get_matrix() for bar in ax.patches]
        for strokes in ax.collections:
            drawn += [path.vertices for path in strokes.get_paths()]
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
        assert again.descriptions == first.descriptions, f"{what} descriptions"
        for figure, before in zip(again.figures, first.figures, strict=True):
            assert data_of(figure) == data_of(before), f"{what} figures"


def test_no_figure_is_cut_off(executed):
    figures = [(i, f) for i, shown in executed.shown.items() for f in shown.figures]
    assert figures
    for cell_id, figure in figures:
        figure.draw_without_rendering()
        for corner in figure.get_tightbbox().padded(-0.02).corners():
            assert figure.bbox_inches.contains(*corner), f"{cell_id}: it is cut off"
        titles = [figure.get_suptitle(), *(ax.get_title() for ax in figure.axes)]
        assert any(titles), f"{cell_id}: its figure has no title"
