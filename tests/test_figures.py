"""What each figure shows, against what the weights and the data say it should."""

import re

import numpy as np
import pytest
from conftest import SAID
from matplotlib.colors import to_hex
from matplotlib.text import Text
from numpy.testing import assert_allclose, assert_equal

COLORS = KERAS, THEANO, NUMPY = "#d55e00", "#009e73", "#0072b2"


@pytest.fixture(scope="module")
def figures(kernel):
    """The figures of the executed notebook by the ids of their cells."""
    shown = [name for name, source in kernel.sources.items() if "\nshow(" in source]
    return dict(zip(shown, kernel(get="figures[:7]"), strict=True))


@pytest.fixture(scope="module")
def validated(kernel, data):
    """The validation images, their labels, and the best model's scores (N, 10)."""
    (X, y), (W, b) = data["valid"], kernel(get="runs[best][3:5]")
    return X, y, X @ W + b.ravel()


def lines(ax):
    """Return (color, line, marker, points) of each line."""
    return [
        (to_hex(x.get_color()), x.get_ls(), x.get_marker(), x.get_xydata().tolist())
        for x in ax.lines
    ]


def image(ax):
    """Return the array that is drawn, its colors, and their limits."""
    (drawn,) = ax.images
    assert drawn.origin == "upper"
    return drawn.get_array(), drawn.get_cmap().name, drawn.get_clim()


def bars(ax):
    """Return (x, y, width, height, color and opacity) of each bar."""
    boxes = [(*bar.get_xy(), bar.get_width(), bar.get_height()) for bar in ax.patches]
    colors = [to_hex(bar.get_facecolor(), keep_alpha=True) for bar in ax.patches]
    return [(*box, color) for box, color in zip(boxes, colors, strict=True)]


def test_all_words_of_the_figures_stand_where_they_should(figures, kernel):
    """Descriptions, titles, labels, legends, ticks; which scales are logarithmic."""
    found = {}
    for name, figure in figures.items():
        figure.draw_without_rendering()
        words = [text.get_text() for text in figure.findobj(Text)]
        said = [word for word in words if re.match("(?!.*read as)[a-zA-Z ]{4}", word)]
        scales = [f"{ax.get_xscale()} {ax.get_yscale()}" for ax in figure.axes]
        alt = kernel.sources[name].partition('\nshow(figure, "')[2].partition('"')[0]
        found[name] = [alt, *dict.fromkeys(said), *(s for s in scales if "log" in s)]
    assert found == SAID["figures"]


def test_nothing_is_cut_off_in_the_figures(figures):
    """Words lie within the figure, points and bars within their panels."""
    for name, figure in figures.items():
        figure.draw_without_rendering()
        words = figure.get_tightbbox().padded(-0.02).corners()
        assert all(figure.bbox_inches.contains(*corner) for corner in words), name
        for ax in figure.axes[:10]:  # the eleventh is a colour bar
            points = [x.get_transform().transform(x.get_xydata()) for x in ax.lines]
            points += [bar.get_window_extent().get_points() for bar in ax.patches]
            for point in np.concatenate([*points, ax.bbox.get_points()]):
                assert ax.bbox.padded(1).contains(*point), name


def test_samples_are_three_training_images_of_each_digit(figures, data):
    X, y = data["train"]
    digits = [X[y == digit][:3].reshape(84, 28) for digit in range(10)]
    expected = np.concatenate(digits, axis=1), "gray_r", (0, 1)
    assert_equal(image(figures["samples"].axes[0]), expected)


def test_keras_curve_shows_training_and_validation_by_epoch(figures, kernel):
    history = kernel(get="model.history.history")
    train, valid = ([*enumerate(history[k], 1)] for k in ("accuracy", "val_accuracy"))
    expected = [(to_hex("gray"), "--", "None", train), (KERAS, "-", "o", valid)]
    assert_equal(lines(figures["level-1-curve"].axes[0]), expected)


LOSSES = np.log(10) * np.array([1, 0.3, 1.009, 1.011, 9, np.inf, np.nan] + 6 * [0.5])
ACCURACIES = np.array([0.7, 0.2, 0.8, 0.3, 0.9, 0.4, 0.1, *np.linspace(0.15, 0.95, 6)])


@pytest.mark.parametrize("order", [0, 1, -1], ids=["measured", "planted", "reversed"])
def test_sweep_plot_shows_thirteen_rates_the_best_and_the_worse(order, figures, kernel):
    """Worse than guessing are losses 1% above log 10, and those that are no numbers."""
    pairs = np.c_[LOSSES, ACCURACIES][:: order or 1]
    runs = [(*pair, 1.0, 0, 0, []) for pair in pairs]
    figure = kernel("level-3-best level-3-sweep-plot", get="figures[-1]", runs=runs)
    if order == 0:
        figure = figures["level-3-sweep-plot"]
        pairs = np.array(kernel(get="[run[:2] for run in runs]"))
    (losses, accuracies), rates = pairs.T, kernel(get="Lr")
    worse, best = ~(losses < 1.01 * np.log(10)), [np.argmax(accuracies)]
    for ax, values in zip(figure.axes, (accuracies, losses), strict=True):
        points = np.c_[rates, values]
        curve, crosses, star, *guess = lines(ax)
        assert_equal(curve, (NUMPY, "-", "o", points.tolist()))
        assert_equal(crosses, ("#000000", "None", "X", points[worse].tolist()))
        assert_equal(star, ("#e69f00", "None", "*", points[best].tolist()))
        assert_equal(ax.get_xticks(), rates)
    assert [y for _, y in guess[0][3]] == [np.log(10)] * 2
    (plateau,) = figure.axes[0].texts
    assert plateau.xy == (rates[2], accuracies[2])


def test_learned_weights_are_the_columns_of_w(figures, kernel):
    W, axes = kernel(get="runs[best][3]"), figures["learned-weights"].axes
    for digit, ax in enumerate(axes[:10]):
        weights = W[:, digit].reshape(28, 28)
        expected = weights, "RdBu_r", (-1, 1), f"{digit}"
        assert_equal((*image(ax), ax.get_title()), expected)


def test_confusion_matrix_has_true_digits_in_rows(figures, validated):
    _, y, Z = validated
    counts = [np.bincount(Z[y == i].argmax(axis=1), minlength=10) for i in range(10)]
    errors = counts * (1 - np.eye(10, dtype=int))
    (ax,) = figures["learned-confusion-plot"].axes
    assert_equal(image(ax), (errors, "Blues", (0, errors.max())))
    assert_equal([ax.get_xticks(), ax.get_yticks()], [range(10), range(10)])
    drawn = {t.get_position(): (t.get_text(), t.get_color()) for t in ax.texts}
    colors = np.where(errors > errors.max() / 2, "white", "black")
    for true, guess in np.ndindex(10, 10):
        assert drawn[guess, true] == (str(counts[true][guess]), colors[true, guess])


def test_mistakes_are_the_twelve_most_confident(figures, validated):
    X, y, Z = validated
    predicted, certainty = Z.argmax(axis=1), 1 / np.exp(Z.T - Z.max(axis=1)).sum(axis=0)
    shown = []
    for ax in figures["learned-mistakes"].axes:
        pixels, cmap, _ = image(ax)
        (i,) = np.flatnonzero((pixels.ravel() == X).all(axis=1))
        label = f"{y[i]}, read as {predicted[i]}"
        assert (cmap, ax.get_title()) == ("gray_r", label) and y[i] != predicted[i]
        shown.append(i)
    most = np.sort(certainty[predicted != y])[::-1][:12]
    assert_allclose(certainty[shown], most, atol=1e-6)  # 32 bits may exchange two
    assert len(set(shown)) == 12


def test_comparison_plot_shows_accuracies_pairs_and_times(kernel):
    """Every number is planted, and differs from all others."""
    names, spread = ("keras", "theano", "numpy"), [0.9, 0.93, 0.905, 0.935, 0.94]
    keys = "test_accuracy", "epochs", "epoch_seconds", "seconds"
    rows = (0.91, 20, 0.25, 7.0), (0.92, 10, 0.125, 5.0), (0.93, 40, 0.0625, 3.0)
    given = {f"{n}_report": dict(zip(keys, r)) for n, r in zip(names, rows)}  # noqa: B905
    pairs = ("Keras", "Theano"), ("Keras", "numpy"), ("Theano", "numpy")
    given["only"] = dict(zip(pairs, [(10, 20), (31, 42), (53, 64)], strict=True))
    figure = kernel("comparison-plot", get="figures[-1]", spread=spread, **given)
    left, middle, right = figure.axes
    dots = [(COLORS[i], "None", "o", [[100 * rows[i][0], i]]) for i in range(3)]
    dots += [("#000000", "None", "o", [[100 * each, 3] for each in spread])]
    assert_equal(lines(left), dots)
    assert_allclose(bars(left)[0][:3:2], (90, 4))
    widths, owners = (-10, 20, -31, 42, -53, 64), (0, 1, 0, 2, 1, 2)
    sides = zip((0, 0, 1, 1, 2, 2), widths, owners, strict=True)
    assert bars(middle) == [(0, i - 0.4, w, 0.8, COLORS[k] + "ff") for i, w, k in sides]
    assert [text.get_text() for text in middle.texts] == [str(abs(w)) for w in widths]
    heights = enumerate([7, 5, 5, 1.25, 3, 2.5])
    sides = [(i // 2, h, COLORS[i // 2] + ("66", "ff")[i % 2]) for i, h in heights]
    assert bars(right) == [(i - 0.4, 0, 0.8, h, color) for i, h, color in sides]
