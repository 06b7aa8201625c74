"""What Level 3 and section 8 print, tabulate and draw, against weights and data."""

import ast

import numpy as np
import pytest
from conftest import SOURCE, assert_says, column, numbers, show_cells
from numpy.testing import assert_allclose, assert_array_equal
from oracles import (
    nearest,
    one_order,
    predictions,
    probabilities,
    score,
    seed_of,
    sets,
    textbook_sgd,
)


def value(text):
    """Return the one number in a text."""
    ((number, _),) = numbers(text)
    return number


def is_drawn(figure, points):
    """Tell whether a line, or a stroke between two ends, has these points."""
    drawn = [line.get_xydata() for ax in figure.axes for line in ax.lines]
    for strokes in (each for ax in figure.axes for each in ax.collections):
        drawn += getattr(strokes, "get_segments", list)()
    return any(len(each) == len(points) and np.allclose(each, points) for each in drawn)


def lengths_of_bars(ax):
    """Return the lengths of the bars, lying or standing, in the order of the axis."""
    boxes = [bar.get_bbox().bounds for bar in ax.patches]
    x, y, width, height = np.transpose(boxes)
    lying = np.ptp(height) < 1e-9
    return (width if lying else height)[np.argsort(y if lying else x)]


def images(figure):
    """Return what is drawn as images, the first row on top."""
    pictures = [picture for ax in figure.axes for picture in ax.images]
    assert pictures and all(picture.origin == "upper" for picture in pictures)
    return [np.asarray(picture.get_array()) for picture in pictures]


def find_images(X, figure):
    """Return which of the images X are drawn."""
    found = [np.flatnonzero((x.ravel() == X).all(axis=1)) for x in images(figure)]
    assert all(place.size for place in found), "it draws an image of another set"
    return [place[0] for place in found]


@pytest.fixture(scope="module")
def best(swept):
    """The best model's prediction of the validation set: X, y, guesses, certainty."""
    X, y = sets(swept.names)[1]
    weights = swept.names["best"]["W"], swept.names["best"]["b"]
    certainty = probabilities(X, *weights).max(axis=1)
    return X, y, predictions(X, *weights), certainty


# --- The sweep ---


def test_sweep_trains_each_rate_as_the_textbook_does(swept):
    names = swept.names
    train, valid, _ = sets(names)
    runs = {run["learning_rate"]: run for run in names["runs"]}
    assert {10.0**k for k in range(-10, 3)} <= runs.keys(), "the assignment's rates"
    plan = names["batch_size"], names["epochs"], seed_of(names["sgd"])
    for rate in 1e-10, 1e-3, 1.0:
        W = textbook_sgd(train, rate, *plan)[-1][0]
        difference = np.abs(runs[rate]["W"] - W).max() / np.abs(W).max()
        assert difference < 1e-3, f"rate {rate:g}: W differs by {difference:.1g}"
    for run in runs.values():
        expected = score(*valid, run["W"], run["b"])
        found = run["losses"][-1], run["accuracies"][-1]
        assert found == pytest.approx(expected, rel=1e-3), run["learning_rate"]


FACTORS = 0.99, 1.003, 1.02, 3, np.inf  # losses against that of guessing


@pytest.fixture(scope="module")
def planted(swept):
    """A sweep whose epochs are invented: no two numbers of it are alike."""
    rng = np.random.default_rng(0)
    shape = len(swept.names["Lr"]), swept.names["epochs"]
    accuracies = rng.uniform(0.15, 0.85, shape)
    accuracies[4, -1] = 0.9  # the best, though one epoch of another has more:
    accuracies[6, -5] = 0.93
    losses = np.log(10) * rng.uniform(0.2, 0.9, shape)
    losses[:5, -1] = np.log(10) * np.array(FACTORS)
    histories = iter(np.stack([losses, accuracies], axis=2).tolist())
    weights = swept.names["first_W"], swept.names["first_b"]
    names = swept.names | {"sgd": lambda *a, **k: (*weights, next(histories))}
    table = show_cells(names, "level-3-sweep").tables[-1]
    return names, table, np.array(names["Lr"]), losses, accuracies


def test_table_of_the_sweep_has_the_last_epoch_and_the_spread_of_ten(planted):
    _, table, rates, losses, accuracies = planted
    for word, last in ("accuracy", accuracies[:, -1]), ("loss", losses[:, -1]):
        for cell, expected in zip(column(table, word), last, strict=True):
            assert_says(cell, expected)
    rows = zip(table[1:], rates, accuracies, strict=True)
    for row, rate, accuracy in rows:
        last = accuracy[-10:]
        assert_says(" | ".join(row), rate, last[-1], last.min(), last.max())


def test_best_rate_has_the_highest_accuracy_after_the_last_epoch(planted):
    names, _, rates, _, accuracies = planted
    printed = show_cells(names, "level-3-best").printed
    assert names["best"] is names["runs"][4]
    others = np.delete(accuracies, 4, axis=0)[:, -10:]
    assert_says(printed, rates[4], 0.9, others.max())


def test_plot_of_the_sweep_has_the_last_epoch_and_the_spread_of_ten(planted):
    names, _, rates, losses, accuracies = planted
    shown = show_cells(names, "level-3-best", "level-3-sweep-plot")
    (figure,) = shown.figures
    for values in accuracies, losses:
        assert is_drawn(figure, np.c_[rates, values[:, -1]]), "the last epochs"
        assert is_drawn(figure, [(rates[4], values[4, -1])]), "the best rate"
        for rate, last in zip(rates, values[:, -10:], strict=True):
            ends = [(rate, last.min()), (rate, last.max())]
            assert np.isinf(last).any() or is_drawn(figure, ends), f"ten of {rate:g}"
    few = [line for ax in figure.axes for line in ax.lines if len(line.get_xdata()) < 9]
    marked = np.vstack([line.get_xydata() for line in few])
    for point, factor in zip(np.c_[rates, losses[:, -1]][:5], FACTORS, strict=True):
        cross = (point == marked).all(axis=1).any()
        assert cross == (factor > 1.01), f"a loss {factor} times that of guessing"
    heights = [y for ax in figure.axes for line in ax.lines for y in line.get_ydata()]
    assert 0.1 in heights and np.log(10) in heights, "accuracy and loss of guessing"
    says = [len(rates), rates[0], accuracies[0, -1], rates[4], 0.9]
    says += [rates[-1], accuracies[-1, -1], losses[-1, -1]]
    assert_says(shown.description, *says)


STRANGE = [1e300, np.nan, 0, -1, 1]


@pytest.mark.filterwarnings("ignore:overflow", "ignore:invalid value")
@pytest.mark.parametrize("rates", [STRANGE, [0.5]], ids=["strange", "one"])
def test_a_learner_s_rates_end_in_tables_and_figures(swept, rates):
    tree = ast.parse(SOURCE["level-3-sweep"])
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "Lr":
            node.value = ast.copy_location(ast.Name("planted", ast.Load()), node.value)
    rows = []
    planted = {"planted": rates, "table": lambda *lines, **options: rows.append(lines)}
    names = swept.names | planted
    exec(compile(tree, "<cell level-3-sweep>", "exec"), names)
    assert len(rows[-1]) == 1 + len(rates)
    cells = "level-3-best", "level-3-sweep-plot", "level-3-test", "plateau"
    for cell_id in *cells, "large-rates-plot", "confidence":
        for figure in show_cells(names, cell_id).figures:
            figure.draw_without_rendering()


# --- One image, the plateau, large rates ---


def test_one_image_is_a_mistake_with_its_scores_estimate_and_error(swept):
    (figure,) = swept.shown["level-3-image"].figures
    W, b = swept.names["first_W"], swept.names["first_b"]
    X, y = sets(swept.names)[1]
    (i,) = find_images(X, figure)
    Z, Y = X[i] @ W + b.ravel(), probabilities(X[i : i + 1], W, b)[0]
    label, guess = y[i], Z.argmax()
    assert label != guess, "the image should be a mistake"
    panels = [lengths_of_bars(ax) for ax in figure.axes if ax.patches]
    for found, expected in zip(panels, (Z, Y, Y - np.eye(10)[label]), strict=True):
        assert_allclose(found, expected, atol=1e-4)
    says = label, guess, Y[guess], guess, Y[label], label, Y[label] - 1, label
    assert_says(swept.shown["level-3-image"].description, *says)


def test_plateau_counts_predictions_other_than_those_of_one_full_step(swept):
    shown = swept.show("plateau")
    (X, y), (x, truth), _ = sets(swept.names)
    error = 0.1 - np.eye(10)[y]
    step = predictions(x, -(X.T @ error), -error.sum(axis=0))
    # In 32 bits an image on the border may fall to either side.
    assert_says(shown.printed, np.mean(step == truth), slack=1 / len(truth))
    runs = {run["learning_rate"]: run for run in swept.names["runs"]}
    (table,) = shown.tables
    assert len(table) > 5
    for rate, *_, count in table[1:]:
        run = runs[value(rate)]
        expected = np.sum(predictions(x, run["W"], run["b"]) != step)
        assert_says(count, expected, slack=1)


def test_curves_are_the_histories_of_the_largest_rates(planted):
    names, _, rates, _, accuracies = planted
    shown = show_cells(names | {"BLUE": "blue"}, "large-rates-plot")
    panels = {value(ax.get_title()): ax for ax in shown.figures[0].axes}
    assert len(panels) > 3
    largest = list(zip(rates, accuracies, strict=True))[-len(panels) :]
    for rate, curve in largest:
        highlighted = max(panels[rate].lines, key=lambda line: line.get_linewidth())
        expected = np.c_[np.arange(1, 1 + len(curve)), curve]
        assert_array_equal(highlighted.get_xydata(), expected, f"rate {rate:g}")
        assert_says(shown.description, rate, min(curve[-10:]), max(curve[-10:]))


def test_confidence_is_recomputed_from_the_weights(swept):
    X, y = sets(swept.names)[1]
    runs = {run["learning_rate"]: run for run in swept.names["runs"]}
    (table,) = swept.show("confidence").tables
    for rate, *cells in table[1:]:
        Y = probabilities(X, runs[value(rate)]["W"], runs[value(rate)]["b"])
        error = np.abs(Y - np.eye(10)[y]).sum(axis=1)
        share = error[Y.argmax(axis=1) != y].sum() / error.sum()
        sure = np.mean(Y.max(axis=1) > 0.99)
        assert_says(" | ".join(cells), Y.max(axis=1).mean(), sure, share, slack=1e-3)


def test_perceptron_is_trained_and_measured_like_the_sweep(swept):
    names = swept.names
    plan = names["batch_size"], names["epochs"]
    W, b, history = names["sgd"](names["train"], names["valid"], 1e6, *plan)
    sure = np.mean(probabilities(sets(names)[1][0], W, b).max(axis=1) > 0.999)
    last = [accuracy for _, accuracy in history[-10:]]
    assert_says(swept.show("perceptron").printed, sure, min(last), max(last))


# --- What the model has learned ---


def test_weights_are_drawn_after_one_step_and_after_training(swept):
    (X, y), _, _ = sets(swept.names)
    one_step = X.T @ (np.eye(10)[y] - 0.1) / len(y)
    weights = {"templates": one_step, "learned-weights": swept.names["best"]["W"]}
    texts = []
    for cell_id, W in weights.items():
        shown = swept.show("templates", cell_id)
        (figure,) = shown.figures
        assert_allclose(images(figure), W.T.reshape(10, 28, 28), atol=1e-6)
        for digit, ax in enumerate(figure.axes):
            low, high = ax.images[0].get_clim()
            assert low == -high, "the middle of the colours must be zero"
            assert_says(ax.get_title(), digit)
        assert_says(figure.get_suptitle(), high)
        texts.append((figure.get_suptitle() + shown.description).lower())
    exchanged = "train" in texts[0] or "step" in texts[1]
    assert not exchanged, f"weights after one step, then after training: {texts}"


def test_confusion_is_counted_on_the_validation_set(swept, best):
    _, y, guesses, _ = best
    counts = np.zeros((10, 10), int)
    np.add.at(counts, (y, guesses), 1)
    errors = counts * (1 - np.eye(10, dtype=int))
    missed = errors.sum(axis=1) / counts.sum(axis=1)
    worst = *np.unravel_index(errors.argmax(), (10, 10)), errors.max(), missed.argmax()
    assert_says(swept.show("learned-confusion").printed, *worst, missed.max())
    shown = swept.show("learned-confusion", "learned-confusion-plot")
    assert_says(shown.description, *worst)
    assert_array_equal(images(shown.figures[0])[0], errors)
    (ax,) = shown.figures[0].axes
    texts = {text.get_position(): text.get_text() for text in ax.texts}
    expected = {(j, i): str(count) for (i, j), count in np.ndenumerate(counts)}
    assert texts == expected, "rows are true digits, columns are predictions"
    assert "tru" in ax.get_ylabel() and "tru" not in ax.get_xlabel()


def test_mistakes_and_trust_go_by_the_probability_of_the_prediction(swept, best):
    X, y, guesses, certainty = best
    shown = swept.show("learned-confusion", "learned-mistakes")
    (figure,) = shown.figures
    found = find_images(X, figure)
    assert len(set(found)) == len(found) > 5
    most = np.sort(certainty[guesses != y])[::-1][: len(found)]
    assert_allclose(certainty[found], most, atol=1e-5)  # 32 bits may exchange two
    for i, ax in zip(found, figure.axes, strict=True):
        assert_says(ax.get_title(), y[i], guesses[i])
    assert_says(shown.description, *np.c_[y, guesses][found].ravel())
    sure = certainty > 0.99
    says = sure.sum(), np.sum(sure & (guesses != y)), certainty.mean()
    cells = "learned-confusion", "learned-mistakes", "learned-trust"
    assert_says(swept.show(*cells).printed, *says, np.mean(guesses == y))


# --- Orders and yardsticks ---


def test_orders_are_four_more_trainings_on_shuffled_images(swept):
    names, calls = swept.names, []
    train, _, test = sets(names)
    weights = [(run["W"], run["b"]) for run in names["runs"][-4:]]

    def sgd(*arguments):
        calls.append(arguments)
        return *weights[len(calls) - 1], None

    printed = swept.show("orders", sgd=sgd).printed
    firsts = {train[0][0].tobytes()}
    for (X, Y_true), _, rate, batch_size, epochs, _ in calls:
        assert one_order(X.T, Y_true.argmax(axis=0)) == one_order(*train)
        plan = names["best"]["learning_rate"], names["batch_size"], names["epochs"]
        assert (rate, batch_size, epochs) == plan
        firsts.add(X[:, 0].tobytes())
    assert len(firsts) == 5, "two orders are the same"
    accuracies = [names["numpy_result"]["test_accuracy"]]
    accuracies += [score(*test, *each)[1] for each in weights]
    mean = np.mean(accuracies)
    error = 100 * np.sqrt(mean * (1 - mean) / len(test[0]))
    assert_says(printed, *accuracies, error)


def test_nearest_images_are_found(swept):
    train, valid, test = sets(swept.names)
    X, y = train
    means = [X[y == digit].mean(axis=0) for digit in range(10)], np.arange(10)
    cases = (means, test), (means, valid), (train, test)
    expected = [np.mean(nearest(x, *points) == t) for points, (x, t) in cases]
    printed = swept.show("nearest").printed
    assert_says(printed, *expected, slack=1.1 / len(valid[0]))
