"""What Level 3 and section 8 print, tabulate and draw, against weights and data."""

import ast

import numpy as np
import pytest
from conftest import SOURCE, assert_says, column, numbers, show_cells
from numpy.testing import assert_allclose, assert_array_equal
from oracles import nearest, predictions, probabilities, score, sets, textbook_sgd


def value(text):
    """Return the one number in a text."""
    ((number, _),) = numbers(text)
    return number


def is_drawn(figure, points):
    """Tell whether a line, or the ends of a stroke, of the figure has these points."""
    drawn = []
    for ax in figure.axes:
        drawn += [line.get_xydata() for line in ax.lines]
        for strokes in ax.collections:
            drawn += getattr(strokes, "get_segments", list)()
    return any(
        np.shape(each) == np.shape(points) and np.allclose(each, points, equal_nan=True)
        for each in drawn
    )


def images(figure):
    """Return what is drawn as images, the first row on top."""
    pictures = [picture for ax in figure.axes for picture in ax.images]
    assert pictures and all(picture.origin == "upper" for picture in pictures)
    return [np.asarray(picture.get_array()) for picture in pictures]


def find_images(X, figure):
    """Return which of the images X are drawn."""
    places = [
        np.flatnonzero((each.ravel() == X).all(axis=1)) for each in images(figure)
    ]
    assert all(place.size for place in places), "it draws an image of another set"
    return [place[0] for place in places]


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
    for rate in 1e-10, 1e-3, 1.0:
        plan = names["batch_size"], names["epochs"]
        W = textbook_sgd(train, rate, *plan)[-1][0]
        difference = np.abs(runs[rate]["W"] - W).max() / np.abs(W).max()
        assert difference < 1e-3, f"rate {rate:g}: W differs by {difference:.1g}"
    for run in runs.values():
        loss, accuracy = score(*valid, run["W"], run["b"])
        last = run["losses"][-1], run["accuracies"][-1]
        assert last == pytest.approx((loss, accuracy), rel=1e-3), run["learning_rate"]


@pytest.fixture(scope="module")
def planted(swept):
    """A sweep whose epochs are invented: no two numbers of it are alike."""
    rng = np.random.default_rng(0)
    n = len(swept.names["Lr"])
    epochs = swept.names["epochs"]
    accuracies = rng.uniform(0.15, 0.85, (n, epochs))
    accuracies[4, -1] = 0.9  # the best, but in the last ten epochs of others is 0.93
    accuracies[6, -5] = 0.93
    losses = np.log(10) * rng.uniform(0.2, 0.9, (n, epochs))
    losses[:5, -1] = np.log(10) * np.array([0.99, 1.003, 1.02, 3, np.inf])
    histories = iter(np.stack([losses, accuracies], axis=2).tolist())
    weights = swept.names["first_W"], swept.names["first_b"]

    def sgd(*arguments, **options):
        return *weights, [tuple(pair) for pair in next(histories)]

    names = swept.names | {"sgd": sgd}
    table = show_cells(names, "level-3-sweep").tables[-1]
    return names, table, np.array(names["Lr"]), losses, accuracies


def test_table_of_the_sweep_has_the_last_epoch_and_the_spread_of_ten(planted):
    _, table, rates, losses, accuracies = planted
    assert_allclose([value(cell) for cell in column(table, "rate")], rates)
    rows = zip(rates, losses, accuracies, table[1:], strict=True)
    for rate, loss, accuracy, row in rows:
        last = accuracy[-10:]
        for word, expected in ("accuracy", last[-1]), ("loss", loss[-1]):
            assert_says(dict(zip(table[0], row, strict=True))[word], expected)
        text = " | ".join(row)
        assert_says(text, rate, last[-1], last.min(), last.max(), loss[-1], 0)


def test_best_rate_has_the_highest_accuracy_after_the_last_epoch(planted):
    names, _, rates, _, accuracies = planted
    printed = show_cells(names, "level-3-best").printed
    assert names["best"] is names["runs"][4]
    others = np.delete(accuracies, 4, axis=0)[:, -10:]
    assert_says(printed, rates[4], 0.9, others.max())


def test_plot_of_the_sweep_has_the_last_epoch_and_the_spread_of_ten(planted):
    names, _, rates, losses, accuracies = planted
    shown = show_cells(names, "level-3-best", "level-3-sweep-plot")
    (figure,), (description,) = shown.figures, shown.descriptions
    figure.draw_without_rendering()
    for values in accuracies, losses:
        assert is_drawn(figure, np.c_[rates, values[:, -1]]), "the last epochs"
        assert is_drawn(figure, [(rates[4], values[4, -1])]), "the best rate"
        for rate, last in zip(rates, values[:, -10:], strict=True):
            ends = [(rate, last.min()), (rate, last.max())]
            assert np.isinf(last).any() or is_drawn(figure, ends), (
                f"the ten of {rate:g}"
            )
    worse = np.c_[rates, losses[:, -1]][2:5]
    assert is_drawn(figure, worse), "losses worse than that of guessing"
    levels = [
        each for ax in figure.axes for line in ax.lines for each in line.get_ydata()
    ]
    assert 0.1 in levels and np.log(10) in levels, "accuracy and loss of guessing"
    first, last = accuracies[[0, -1], -1]
    assert_says(description, len(rates), rates[0], first, rates[4], 0.9)
    assert_says(description, rates[-1], last, losses[-1, -1])


@pytest.mark.filterwarnings("ignore:overflow", "ignore:invalid value")
@pytest.mark.parametrize(
    "rates",
    [[1e300, np.nan, 0, -1, 1], [0.5], [*(10.0**k for k in range(-10, 4))]],
    ids=["strange", "one", "one more"],
)
def test_a_learner_s_rates_end_in_a_table_and_figures(swept, rates):
    tree = ast.parse(SOURCE["level-3-sweep"])
    (typed,) = (
        node
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "Lr"
    )
    typed.value = ast.copy_location(ast.Name("planted", ast.Load()), typed.value)
    names, displayed = swept.names | {"planted": rates}, []
    names["table"] = lambda *lines, **options: displayed.append(lines)
    exec(compile(tree, "<cell level-3-sweep>", "exec"), names)
    assert len(displayed[-1]) == 1 + len(rates)
    for cell_id in "level-3-best", "level-3-sweep-plot", "level-3-test", "plateau":
        for figure in show_cells(names, cell_id).figures:
            figure.draw_without_rendering()
    (figure,) = show_cells(names, "large-rates-plot").figures
    figure.draw_without_rendering()
    show_cells(names, "confidence")


# --- One image, the plateau, large rates ---


def test_one_image_is_a_mistake_with_its_scores_estimate_and_error(swept):
    (figure,) = swept.shown["level-3-image"].figures
    (description,) = swept.shown["level-3-image"].descriptions
    W, b = swept.names["first_W"], swept.names["first_b"]
    X, y = sets(swept.names)[1]
    (i,) = find_images(X, figure)
    Z, Y = X[i] @ W + b.ravel(), probabilities(X[i : i + 1], W, b)[0]
    label, guess = y[i], Z.argmax()
    assert label != guess, "the image should be a mistake"
    panels = [bars_of(ax) for ax in figure.axes if ax.patches]
    for found, expected in zip(panels, (Z, Y, Y - np.eye(10)[label]), strict=True):
        assert_allclose(found, expected, atol=1e-4)
    says = label, guess, Y[guess], guess, Y[label], label, Y[label] - 1, label
    assert_says(description, *says)


def bars_of(ax):
    """Return the lengths of the bars, lying or standing, in the order of the axis."""
    boxes = [
        (bar.get_x(), bar.get_y(), bar.get_width(), bar.get_height())
        for bar in ax.patches
    ]
    x, y, width, height = np.transpose(boxes)
    lying = np.ptp(height) < 1e-9
    return (width if lying else height)[np.argsort(y if lying else x)]


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
        assert value(count) == pytest.approx(expected, abs=1), f"rate {rate}"


def test_curves_are_the_histories_of_the_largest_rates(planted):
    names, _, rates, _, accuracies = planted
    shown = show_cells(names | {"BLUE": "blue"}, "large-rates-plot")
    (figure,), (description,) = shown.figures, shown.descriptions
    epochs = np.arange(1, accuracies.shape[1] + 1)
    panels = {value(ax.get_title()): ax for ax in figure.axes}
    assert len(panels) > 3
    for rate, curve in list(zip(rates, accuracies, strict=True))[-len(panels) :]:
        *_, highlighted = sorted(panels[rate].lines, key=lambda line: line.get_lw())
        assert_allclose(highlighted.get_xydata(), np.c_[epochs, curve])
        assert_says(description, rate, curve[-10:].min(), curve[-10:].max())


def test_confidence_is_recomputed_from_the_weights(swept):
    X, y = sets(swept.names)[1]
    runs = {run["learning_rate"]: run for run in swept.names["runs"]}
    (table,) = swept.show("confidence").tables
    for rate, *cells in table[1:]:
        Y = probabilities(X, runs[value(rate)]["W"], runs[value(rate)]["b"])
        error = np.abs(Y - np.eye(10)[y]).sum(axis=1)
        wrong = Y.argmax(axis=1) != y
        shares = Y.max(axis=1).mean(), np.mean(Y.max(axis=1) > 0.99)
        expected = *shares, error[wrong].sum() / error.sum()
        assert_says(" | ".join(cells), *expected, slack=1e-3)


def test_perceptron_is_trained_and_measured_like_the_sweep(swept):
    names = swept.names
    plan = names["batch_size"], names["epochs"]
    W, b, history = names["sgd"](names["train"], names["valid"], 1e6, *plan)
    sure = np.mean(probabilities(sets(names)[1][0], W, b).max(axis=1) > 0.999)
    last = [accuracy for _, accuracy in history[-10:]]
    assert min(last) < max(last), "the accuracies must differ, for this test"
    printed = swept.show("perceptron").printed
    assert_says(printed, sure, min(last), max(last))


# --- What the model has learned ---


def test_weights_are_drawn_after_one_step_and_after_training(swept):
    names = swept.names
    (X, y), _, _ = sets(names)
    one_step = X.T @ (np.eye(10)[y] - 0.1) / len(y)
    ids = ["templates", "learned-weights"]
    texts = []
    for n, W in (1, one_step), (2, names["best"]["W"]):
        shown = swept.show(*ids[:n])
        (figure,) = shown.figures
        assert_allclose(images(figure), W.T.reshape(10, 28, 28), atol=1e-6)
        for digit, ax in enumerate(ax for ax in figure.axes if ax.images):
            low, high = ax.images[0].get_clim()
            assert low == -high, "the middle of the colours must be zero"
            assert str(digit) in ax.get_title()
        assert_says(figure.get_suptitle(), high)
        texts.append((figure.get_suptitle() + shown.descriptions[0]).lower())
    assert "train" not in texts[0] and "step" not in texts[1], (
        f"the first are after one step, the others after training: {texts}"
    )


def test_confusion_is_counted_on_the_validation_set(swept, best):
    _, y, guesses, _ = best
    counts = np.zeros((10, 10), int)
    np.add.at(counts, (y, guesses), 1)
    errors = counts * (1 - np.eye(10, dtype=int))
    (true, guess), missed = (
        np.unravel_index(errors.argmax(), (10, 10)),
        errors.sum(axis=1),
    )
    shares = missed / counts.sum(axis=1)
    most = true, guess, errors.max()
    printed = swept.show("learned-confusion").printed
    assert_says(printed, *most, shares.argmax(), shares.max())
    shown = swept.show("learned-confusion", "learned-confusion-plot")
    assert_says(shown.descriptions[0], *most, shares.argmax())
    (ax,) = shown.figures[0].axes
    assert_array_equal(images(shown.figures[0])[0], errors)
    assert len(ax.texts) == 100
    for text in ax.texts:
        x, y = text.get_position()
        assert text.get_text() == str(counts[y, x]), f"true {y}, predicted {x}"
    assert "tru" in ax.get_ylabel() and "tru" not in ax.get_xlabel()


def test_mistakes_are_the_most_confident(swept, best):
    X, y, guesses, certainty = best
    shown = swept.show("learned-confusion", "learned-mistakes")
    (figure,), (description,) = shown.figures, shown.descriptions
    found = find_images(X, figure)
    assert len(set(found)) == len(found) > 5
    most = np.sort(certainty[guesses != y])[::-1][: len(found)]
    assert_allclose(certainty[found], most, atol=1e-5)  # 32 bits may exchange two
    for i, ax in zip(found, figure.axes, strict=True):
        assert_says(ax.get_title(), y[i], guesses[i])
    assert_says(description, *np.c_[y, guesses][found].ravel())


def test_trust_is_counted_on_the_validation_set(swept, best):
    _, y, guesses, certainty = best
    cells = "learned-confusion", "learned-mistakes", "learned-trust"
    printed = swept.show(*cells).printed
    sure = certainty > 0.99
    counts = np.sum(sure), np.sum(sure & (guesses != y))
    assert_says(printed, *counts, certainty.mean(), np.mean(guesses == y))


# --- Orders and yardsticks ---


def test_orders_are_four_more_trainings_on_shuffled_images(swept):
    names, calls = swept.names, []
    (X, y), _, test = sets(names)
    weights = [(run["W"], run["b"]) for run in names["runs"][-4:]]

    def sgd(train, valid, *arguments, **options):
        calls.append((train, [*arguments[:3]]))
        return *weights[len(calls) - 1], None

    printed = swept.show("orders", sgd=sgd).printed
    plan = [names["best"]["learning_rate"], names["batch_size"], names["epochs"]]
    expected = sorted((x.tobytes(), label) for x, label in zip(X, y, strict=True))
    firsts = {X[0].tobytes()}
    for (images, truth), arguments in calls:
        assert arguments == plan
        pairs = zip(images.T, truth.argmax(axis=0), strict=True)
        assert sorted((x.tobytes(), label) for x, label in pairs) == expected
        firsts.add(images[:, 0].tobytes())
    assert len(firsts) == 5, "two orders are the same"
    accuracies = [names["numpy_result"]["test_accuracy"]]
    accuracies += [score(*test, *each)[1] for each in weights]
    mean = np.mean(accuracies)
    error = np.sqrt(mean * (1 - mean) / len(test[0]))
    assert_says(printed, *accuracies)
    assert any(abs(each - 100 * error) < 0.006 for each, _ in numbers(printed)), error


def test_nearest_images_are_found(swept):
    (X, y), valid, test = sets(swept.names)
    means = np.array([X[y == digit].mean(axis=0) for digit in range(10)])
    cases = [(means, np.arange(10), test), (means, np.arange(10), valid), (X, y, test)]
    expected = [np.mean(nearest(images, *p) == truth) for *p, (images, truth) in cases]
    printed = swept.show("nearest").printed
    assert_says(printed, *expected, slack=1.1 / len(valid[0]))
