"""What each figure shows, against what the weights and the data say."""

import numpy as np
import pytest
from conftest import run_cells, sets
from matplotlib.colors import to_hex
from numpy.testing import assert_allclose, assert_equal

COLORS = {"Keras": "#d55e00", "Theano": "#009e73", "numpy": "#0072b2"}
KERAS, THEANO, NUMPY = COLORS.values()


def drawn_again(executed, cell_id, **names):
    """Return the figure that the cell draws of these names."""
    figures = []
    names = (
        executed.names
        | {"show": lambda figure, alt: figures.append(figure)}
        | names
    )
    run_cells(names, cell_id)
    (figure,) = figures
    return figure


def points(line):
    return line.get_xydata().tolist()


def style(line):
    return to_hex(line.get_color()), line.get_linestyle(), line.get_marker()


def image(ax):
    """Return what is drawn, its first row on top, and its colours."""
    (drawn,) = ax.images
    assert drawn.origin == "upper"
    return drawn.get_array(), drawn.get_cmap().name, drawn.get_clim()


# --- All figures ---


def test_figures_are_shown_at_twice_the_resolution_with_their_description(
    names,
):
    shown = []
    figure, _ = names["plt"].subplots(figsize=(2, 1))
    names = run_cells(names, "setup")
    names["display"] = shown.append
    names["show"](figure, "a description")
    (image,) = shown
    # The header of a PNG holds its width and height from byte 16 on.
    assert np.frombuffer(image.data, ">i4", 2, offset=16).tolist() == [400, 200]
    assert (image.width, image.height, image.alt) == (200, 100, "a description")


def test_axes_have_names_and_nothing_is_cut_off(executed):
    for name, figure in executed.figures.items():
        figure.draw_without_rendering()
        titles = [ax.get_title() for ax in figure.axes]
        assert any([figure.get_suptitle(), *titles]), name
        words = figure.get_tightbbox().padded(-0.02).corners()
        for corner in words:
            assert figure.bbox_inches.contains(*corner), name
        for ax in figure.axes:
            if not ax.lines:
                continue
            # Panels that share an axis have its label below the last one.
            panels = ax.get_shared_x_axes().get_siblings(ax)
            assert any(panel.get_xlabel() for panel in panels), name
            for line in ax.lines:
                for x, y in line.get_transform().transform(line.get_xydata()):
                    assert ax.bbox.padded(1).contains(x, y), name


def test_samples_are_three_training_images_of_each_digit(executed):
    X, y = sets(executed.names)[0]
    digits = [X[y == digit][:3].reshape(84, 28) for digit in range(10)]
    (ax,) = executed.figures["samples"].axes
    assert_equal(image(ax), (np.concatenate(digits, axis=1), "gray_r", (0, 1)))


# --- Curves ---


def test_keras_curve_shows_training_and_validation_by_epoch(executed):
    history = executed.names["model"].history.history
    (ax,) = executed.figures["level-1-curve"].axes
    train, valid = ax.lines
    assert points(train) == [
        [*each] for each in enumerate(history["accuracy"], 1)
    ]
    assert points(valid) == [
        [*each] for each in enumerate(history["val_accuracy"], 1)
    ]
    first, second = (text.get_text() for text in ax.get_legend().get_texts())
    assert first.startswith("training") and second.startswith("validation")
    assert style(valid) == (KERAS, "-", "o") and style(train)[0] != KERAS
    assert ("epoch" in ax.get_xlabel()) and ("accuracy" in ax.get_ylabel())
    assert ax.get_xticks()[0] == 1


def planted_runs(executed):
    """Runs whose losses are about that of guessing, infinite, or no number."""
    factors = [
        1,
        0.3,
        1.009,
        1.011,
        9,
        np.inf,
        np.nan,
        0.5,
        0.6,
        0.7,
        0.8,
        0.9,
        0.2,
    ]
    accuracies = [
        0.7,
        0.2,
        0.8,
        0.3,
        0.95,
        0.4,
        0.1,
        0.15,
        0.3,
        0.5,
        0.6,
        0.9,
        0.8,
    ]
    return [
        run._replace(loss=factor * np.log(10), accuracy=accuracy)
        for run, factor, accuracy in zip(
            executed.names["runs"], factors, accuracies, strict=True
        )
    ]


@pytest.mark.parametrize("planted", [False, True], ids=["trained", "planted"])
def test_sweep_plot_shows_thirteen_rates_the_best_and_the_worse(
    executed, planted
):
    runs, figure = (
        executed.names["runs"],
        executed.figures["level-3-sweep-plot"],
    )
    if planted:
        runs = planted_runs(executed)
        figure = drawn_again(executed, "level-3-sweep-plot", runs=runs)
    rates = [run.learning_rate for run in runs]
    losses = np.array([run.loss for run in runs])
    best = np.argmax([run.accuracy for run in runs])
    # Worse than guessing: 1% above log 10 at least, or no number.
    worse = ~(losses < 1.01 * np.log(10))
    upper, lower = figure.axes
    accuracies = [run.accuracy for run in runs]
    for ax, values in (upper, accuracies), (lower, losses):
        expected = np.c_[rates, values]
        curve, crosses, star, *_ = ax.lines
        assert_equal(points(curve), expected.tolist())
        assert_equal(points(crosses), expected[worse].tolist())
        assert_equal(points(star), expected[[best]].tolist())
        assert_equal(ax.get_xticks(), rates)
    assert (upper.get_ylabel(), lower.get_ylabel()) == (
        "validation accuracy",
        "validation loss",
    )
    assert "learning rate" in lower.get_xlabel()
    assert (lower.get_xscale(), lower.get_yscale()) == ("log", "log")
    guessing = lower.lines[3].get_ydata()
    assert_allclose(guessing, np.log(10))


def test_sweep_legend_says_what_the_marks_are(executed):
    figure = executed.figures["level-3-sweep-plot"]
    (legend,) = figure.legends
    labels = [text.get_text() for text in legend.get_texts()]
    markers = [handle.get_marker() for handle in legend.legend_handles]
    said = dict(zip(markers, labels, strict=True))
    assert (
        "worse" in said["X"]
        and "best" in said["*"]
        and "log 10" in said["None"]
    )


def test_learning_curves_are_the_histories_of_the_six_largest_rates(executed):
    runs = executed.names["runs"][-6:]
    figure = executed.figures["level-3-curves"]
    upper, lower = figure.axes
    assert "accuracy" in upper.get_ylabel() and "loss" in lower.get_ylabel()
    assert "epoch" in lower.get_xlabel() and lower.get_xticks()[0] == 1
    (legend,) = figure.legends
    for i, run in enumerate(runs):
        losses, accuracies, _ = zip(*run.history, strict=True)
        for ax, values in (upper, accuracies), (lower, losses):
            assert points(ax.lines[i]) == [
                [*each] for each in enumerate(values, 1)
            ]
        assert float(legend.get_texts()[i].get_text()) == run.learning_rate
        colours = [
            to_hex(upper.lines[i].get_color()),
            to_hex(lower.lines[i].get_color()),
        ]
        assert {to_hex(legend.legend_handles[i].get_color())} == set(colours)
    assert len({to_hex(line.get_color()) for line in upper.lines}) == 6


def test_learner_may_try_three_rates_only(executed):
    runs = executed.names["runs"][-3:]
    figure = drawn_again(executed, "level-3-curves", runs=runs)
    assert [len(ax.lines) for ax in figure.axes] == [3, 3]


# --- Images ---


def test_learned_weights_are_the_columns_of_w_beside_their_scale(executed):
    W, figure = executed.names["best_W"], executed.figures["learned-weights"]
    *axes, bar = figure.axes
    assert len(axes) == 10
    for digit, ax in enumerate(axes):
        expected = W[:, digit].reshape(28, 28), "RdBu_r", (-1, 1)
        assert_equal(image(ax), expected)
        assert ax.get_title() == f"{digit}"
    assert bar.get_ylim() == (-1, 1) and bar.get_ylabel()
    figure.draw_without_rendering()
    for tick, label in zip(
        bar.get_yticks(), bar.get_yticklabels(), strict=True
    ):
        assert float(label.get_text().replace("−", "-")) == tick


def test_confusion_matrix_has_true_digits_in_rows(executed):
    names = executed.names
    X, y = sets(names)[1]
    predicted = (X @ names["best_W"] + names["best_b"].T).argmax(axis=1)
    counts = np.zeros((10, 10), int)
    for true, guess in zip(y, predicted, strict=True):
        counts[true, guess] += 1
    errors = counts * (1 - np.eye(10, dtype=int))
    (ax,) = executed.figures["learned-confusion-plot"].axes
    assert_equal(image(ax), (errors, "Blues", (0, errors.max())))
    assert ax.get_xlabel() == "predicted" and ax.get_ylabel() == "true"
    for axis in ax.xaxis, ax.yaxis:
        labels = [label.get_text() for label in axis.get_ticklabels()]
        assert_equal(axis.get_ticklocs(), range(10))
        assert labels == [str(digit) for digit in range(10)]
    written = {text.get_position(): text.get_text() for text in ax.texts}
    for true, guess in np.ndindex(10, 10):
        assert written[guess, true] == str(counts[true, guess])


def test_counts_on_dark_squares_are_white(executed):
    (ax,) = executed.figures["learned-confusion-plot"].axes
    errors, _, (_, largest) = image(ax)
    for text in ax.texts:
        guess, true = text.get_position()
        dark = errors[true, guess] > largest / 2
        assert text.get_color() == ("white" if dark else "black")


def test_mistakes_are_the_twelve_most_confident(executed):
    names = executed.names
    X, y = sets(names)[1]
    Z = (X @ names["best_W"] + names["best_b"].T).astype(float)
    predicted = Z.argmax(axis=1)
    certainty = np.exp(Z.max(axis=1) - np.logaddexp.reduce(Z, axis=1))
    shown = []
    for ax in executed.figures["learned-mistakes"].axes:
        pixels, colours, _ = image(ax)
        (i,) = np.flatnonzero((pixels.ravel() == X).all(axis=1))
        assert (colours, ax.get_title()) == (
            "gray_r",
            f"{y[i]}, read as {predicted[i]}",
        )
        assert y[i] != predicted[i]
        shown.append(i)
    most = np.sort(certainty[predicted != y])[::-1][:12]
    assert_allclose(
        certainty[shown], most, atol=1e-5
    )  # 32 bits may exchange two
    assert len(set(shown)) == 12


# --- The comparison ---


def planted_reports():
    return {
        "Keras": {
            "test_accuracy": 0.91,
            "training_seconds": 7.0,
            "startup_seconds": 2.0,
        },
        "Theano": {
            "test_accuracy": 0.92,
            "training_seconds": 5.0,
            "startup_seconds": 3.0,
        },
        "numpy": {
            "test_accuracy": 0.93,
            "training_seconds": 4.0,
            "startup_seconds": 0.0,
        },
    }


def test_accuracies_stand_beside_those_of_five_orders(executed):
    orders = [0.9, 0.93, 0.905, 0.935, 0.94]
    figure = drawn_again(
        executed,
        "comparison-orders-plot",
        reports=planted_reports(),
        orders=orders,
    )
    (ax,) = figure.axes
    figure.draw_without_rendering()
    names = [label.get_text() for label in ax.get_yticklabels()]
    *levels, numpy_orders = ax.lines
    for line, (name, report) in zip(
        levels, planted_reports().items(), strict=True
    ):
        assert_allclose(line.get_xdata(), 100 * report["test_accuracy"])
        assert line.get_ydata(orig=False) == [names.index(name)]
        assert style(line)[0] == COLORS[name]
    assert_allclose(numpy_orders.get_xdata(), 100 * np.array(orders))
    (span,) = ax.patches
    assert_allclose([span.get_x(), span.get_width()], [90, 4])
    assert "percent" in ax.get_xlabel()


def test_times_are_bars_of_start_up_and_then_training(executed):
    figure = drawn_again(
        executed, "comparison-times-plot", reports=planted_reports()
    )
    (ax,) = figure.axes
    figure.draw_without_rendering()
    names = [label.get_text() for label in ax.get_yticklabels()]
    bars = iter(ax.patches)
    for row, (name, report) in enumerate(planted_reports().items()):
        assert names[row] == name
        start_up, training = next(bars), next(bars)
        spans = [(bar.get_x(), bar.get_width()) for bar in (start_up, training)]
        before, seconds = report["startup_seconds"], report["training_seconds"]
        assert spans == [(0, before), (before, seconds)]
        for bar in start_up, training:
            assert bar.get_y() + bar.get_height() / 2 == row
            assert to_hex(bar.get_facecolor()) == COLORS[name]
        assert start_up.get_facecolor()[3] < training.get_facecolor()[3] == 1
    assert "seconds" in ax.get_xlabel()
