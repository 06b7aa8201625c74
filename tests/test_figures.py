"""What each figure shows, against what the weights and the data say."""

import numpy as np
import pytest
from conftest import Shown, numbers, sets
from matplotlib.colors import to_hex
from numpy.testing import assert_allclose, assert_equal

COLORS = {"Keras": "#d55e00", "Theano": "#009e73", "numpy": "#0072b2"}


def drawn(executed, cell_id, **planted):
    """Return the figure that the cell draws, with these names planted."""
    (figure,) = Shown(executed.names | planted, cell_id).figures
    figure.draw_without_rendering()
    return figure


def labelled(lines):
    """Return {label: line} of the lines that the legend names."""
    return {x.get_label(): x for x in lines if not x.get_label().startswith("_")}


def assert_is_curve(line, values):
    """By epoch, from the first."""
    assert_equal(line.get_xydata(), np.c_[np.arange(1, len(values) + 1), values])


def image(ax):
    """Return what is drawn, its first row on top, and its colours."""
    (picture,) = ax.images
    assert picture.origin == "upper"
    return picture.get_array(), picture.get_cmap().name


def test_figures_have_titles_and_axes_names_and_nothing_is_cut_off(executed):
    drawn = [(i, each.figures[0]) for i, each in executed.shown.items() if each.figures]
    assert drawn
    for name, figure in drawn:
        figure.draw_without_rendering()
        assert figure.get_suptitle() or any(a.get_title() for a in figure.axes), name
        for corner in figure.get_tightbbox().padded(-0.02).corners():
            assert figure.bbox_inches.contains(*corner), f"{name}: something is cut off"
        for ax in figure.axes:
            if (ax.lines or ax.patches) and ax.get_label() != "<colorbar>":
                # Panels that share an axis have its label at one of them.
                panels = ax.get_shared_x_axes().get_siblings(ax)
                assert any(panel.get_xlabel() for panel in panels), name


def test_samples_are_three_training_images_of_each_digit(executed):
    X, y = sets(executed.names)[0]
    digits = [X[y == digit][:3].reshape(84, 28) for digit in range(10)]
    (ax,) = drawn(executed, "samples").axes
    assert_equal(image(ax), (np.concatenate(digits, axis=1), "gray_r"))


def test_sweep_plot_marks_the_best_rate_and_losses_worse_than_guessing(executed):
    """By planted losses: about that of guessing, infinite, or no number."""
    factors = [1, 0.3, 1.009, 1.011, 9, np.inf, np.nan, *np.linspace(0.2, 0.9, 99)]
    accuracies = [0.7, 0.2, 0.8, 0.3, 0.95, 0.4, 0.1, *np.linspace(0.15, 0.9, 99)]
    planted = zip(executed.names["runs"], factors, accuracies, strict=False)
    runs = [r | {"loss": f * np.log(10), "accuracy": a} for r, f, a in planted]
    best = runs[4]
    figure = drawn(executed, "level-3-sweep-plot", runs=runs, best=best)
    for ax, key in zip(figure.axes, ("accuracy", "loss"), strict=True):
        assert key in ax.get_ylabel() and ax.get_xscale() == "log"
        curve = next(line for line in ax.lines if len(line.get_xdata()) == len(runs))
        assert_equal(curve.get_xydata(), [(r["learning_rate"], r[key]) for r in runs])
        (star,) = (line for line in ax.lines if line.get_marker() == "*")
        assert_equal(star.get_xydata(), [(best["learning_rate"], best[key])])
    ax = figure.axes[1]
    (crosses,) = (line for line in ax.lines if line.get_marker() == "X")
    worse = [
        run for run, factor in zip(runs, factors, strict=False) if not factor < 1.01
    ]
    assert_equal(crosses.get_xydata(), [(r["learning_rate"], r["loss"]) for r in worse])
    assert any(np.allclose(line.get_ydata(), np.log(10)) for line in ax.lines)


@pytest.mark.parametrize("tried", [13, 3])  # a learner may try fewer rates
def test_learning_curves_are_the_histories_of_the_six_largest_rates(executed, tried):
    figure = drawn(executed, "level-3-curves", runs=executed.names["runs"][-tried:])
    runs = executed.names["runs"][-min(tried, 6) :]
    upper, lower = figure.axes
    assert "accuracy" in upper.get_ylabel() and "loss" in lower.get_ylabel()
    (legend,) = figure.legends
    names = [numbers(text.get_text())[0] for text in legend.get_texts()]
    assert_allclose(names, [run["learning_rate"] for run in runs])
    assert len(upper.lines) == len(lower.lines) == len(runs)
    for i, run in enumerate(runs):
        assert_is_curve(upper.lines[i], run["history"]["valid_accuracy"])
        assert_is_curve(lower.lines[i], run["history"]["valid_loss"])
        handles = upper.lines[i], lower.lines[i], legend.legend_handles[i]
        assert len({to_hex(handle.get_color()) for handle in handles}) == 1


def test_weights_are_drawn_after_one_step_and_after_training(executed):
    names = executed.names
    (X, y), _, _ = sets(names)
    one_step = X.T @ (np.eye(10)[y] - 0.1) / len(y)
    panels = [ax for ax in drawn(executed, "learned-weights").axes if ax.images]
    for ax, W in zip(panels, (one_step, names["best"]["W"]), strict=True):
        row = np.concatenate([column.reshape(28, 28) for column in W.T], axis=1)
        weights, colors = image(ax)
        assert_allclose(weights, row, atol=1e-6)
        low, high = ax.images[0].get_clim()
        assert colors == "RdBu_r" and low == -high, "white must be zero, red above"
        assert [text.get_text() for text in ax.get_xticklabels()] == list("0123456789")


def predictions(executed):
    """Return the images and labels of the validation set, guesses, certainty."""
    best = executed.names["best"]
    X, y = sets(executed.names)[1]
    Z = (X @ best["W"] + best["b"].T).astype(float)
    certainty = np.exp(Z.max(axis=1) - np.logaddexp.reduce(Z, axis=1))
    return X, y, Z.argmax(axis=1), certainty


def test_confusion_matrix_has_true_digits_in_rows(executed):
    _, y, predicted, _ = predictions(executed)
    counts = np.zeros((10, 10), int)
    np.add.at(counts, (y, predicted), 1)
    (ax,) = drawn(executed, "learned-confusion-plot").axes
    assert_equal(image(ax), (counts * (1 - np.eye(10, dtype=int)), "Blues"))
    assert ax.get_xlabel() == "predicted" and ax.get_ylabel() == "true"
    for text in ax.texts:
        guess, true = text.get_position()
        assert text.get_text() == str(counts[true, guess])


def test_mistakes_are_the_most_confident(executed):
    X, y, predicted, certainty = predictions(executed)
    shown = []
    for ax in drawn(executed, "learned-mistakes").axes:
        (i,) = np.flatnonzero((image(ax)[0].ravel() == X).all(axis=1))
        assert y[i] != predicted[i] and i not in shown
        assert numbers(ax.get_title()) == [y[i], predicted[i]]
        shown.append(i)
    most = np.sort(certainty[predicted != y])[::-1][: len(shown)]
    assert_allclose(certainty[shown], most, atol=1e-5)  # 32 bits may exchange two


def test_levels_are_compared_epoch_by_epoch(executed):
    histories = {
        name: {"valid_accuracy": list(np.linspace(low, 0.9, 20))}
        for name, low in zip(COLORS, (0.1, 0.2, 0.3), strict=True)
    }
    (ax,) = drawn(
        executed,
        "comparison-curves",
        keras_history=histories["Keras"],
        theano_history=histories["Theano"],
        best={"history": histories["numpy"]},
    ).axes
    lines = labelled(ax.lines)
    for name, history in histories.items():
        assert_is_curve(lines[name], history["valid_accuracy"])
        assert to_hex(lines[name].get_color()) == COLORS[name]


REPORTS = {  # planted: test accuracy, seconds of training and of start-up
    name: {"test_accuracy": a, "training_seconds": t, "startup_seconds": s}
    for name, a, t, s in [
        ("Keras", 0.91, 7.0, 2.0),
        ("Theano", 0.92, 5.0, 3.0),
        ("numpy", 0.93, 4.0, 0.0),
    ]
}


def test_accuracies_stand_beside_those_of_five_orders(executed):
    orders = np.array([0.9, 0.93, 0.905, 0.935, 0.94])
    cell_id = "comparison-orders-plot"
    (ax,) = drawn(executed, cell_id, reports=REPORTS, orders=orders).axes
    names = [label.get_text() for label in ax.get_yticklabels()]
    *levels, five = ax.lines
    for line, (name, report) in zip(levels, REPORTS.items(), strict=True):
        assert_allclose(line.get_xdata(), report["test_accuracy"])
        assert line.get_ydata(orig=False) == [names.index(name)]
        assert to_hex(line.get_color()) == COLORS[name]
    assert_allclose(five.get_xdata(), orders)
    (span,) = ax.patches
    assert_allclose([span.get_x(), span.get_width()], [0.9, 0.04])
    low, high = ax.get_xlim()
    assert low < 0.9 and high > 0.94, "an accuracy lies outside the axis"


def test_times_are_bars_of_training_and_of_start_up(executed):
    panels = drawn(executed, "comparison-times-plot", reports=REPORTS).axes
    names = [label.get_text() for label in panels[0].get_yticklabels()]
    for ax, key in zip(panels, ("training_seconds", "startup_seconds"), strict=True):
        for bar, (name, report) in zip(ax.patches, REPORTS.items(), strict=True):
            assert (bar.get_x(), bar.get_width()) == (0, report[key])
            assert names[round(bar.get_y() + bar.get_height() / 2)] == name
            assert to_hex(bar.get_facecolor()) == COLORS[name]
        said = [numbers(text.get_text())[0] for text in ax.texts]
        assert said == [report[key] for report in REPORTS.values()]
    training, startup = (ax.get_title().lower() for ax in panels)
    assert "train" in training and "start" in startup
