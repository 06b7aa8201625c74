"""What the notebook computes, prints, draws and reports, computed otherwise."""

import re

import numpy as np
import pytest
from common import fill, run_cells
from conftest import FEW, SOURCE, cells_of, numbers, show
from numpy.testing import assert_allclose, assert_array_equal

N = FEW[0]
NEAR = 0.01  # rounding may move two of 290 images over a border


def sets(names):
    """Return the training, validation and test sets, each (images, labels)."""
    return [(names[f"X_{p}"], names[f"y_{p}"]) for p in ("train", "valid", "test")]


def probabilities(images, W, b):
    """Return the class probabilities (N, 10) of images (N, 784)."""
    Z = (images @ W + np.ravel(b)).astype(float)
    return np.exp(Z - np.logaddexp.reduce(Z, axis=1, keepdims=True))


def score(images, labels, W, b):
    """Return the mean loss and the accuracy."""
    Z = (images @ W + np.ravel(b)).astype(float)
    losses = np.logaddexp.reduce(Z, axis=1) - Z[np.arange(len(labels)), labels]
    return losses.mean(), np.mean(Z.argmax(axis=1) == labels)


def textbook_sgd(train, learning_rate, batch_size, epochs):
    """Return W and b after SGD as it is taught, from zero."""
    (X, y), rng = train, np.random.default_rng(0)
    W, b = np.zeros((784, 10), np.float32), np.zeros(10, np.float32)
    for _ in range(epochs):
        for start in rng.permutation(np.arange(0, len(X), batch_size)):
            x, truth = X[start : start + batch_size], y[start : start + batch_size]
            error = probabilities(x, W, b) - np.eye(10)[truth]
            W = (W - learning_rate * x.T @ error / len(x)).astype(np.float32)
            b = (b - learning_rate * error.mean(axis=0)).astype(np.float32)
    return W, b


def assert_same(weights, expected):
    """W and b agree: rounding came to 1e-5 of the largest, one wrong step to 1e-2."""
    for found, true in zip(weights, expected, strict=True):
        difference = np.abs(np.ravel(found) - np.ravel(true)).max()
        share = difference / np.abs(true).max()
        assert share < 1e-3, f"the weights differ by {share:.1g} of the largest one"
        assert found.dtype == np.float32, "the weights have not 32 bits"


DEFINITIONS = {  # up to the function that trains
    1: cells_of("4")[:2],
    2: cells_of("5")[:3],
    3: cells_of("6")[: cells_of("6").index("level-3-sgd") + 1],
}


def train(level, names, *rule):
    """Train a level; return its weights (W, b) and its last validation accuracy."""
    if level == 1:
        model, _ = names["train_keras"](*rule)
        return model.get_weights(), model.history.history["val_accuracy"][-1]
    if level == 2:
        model, *_ = names["main"](*rule)
        return [model.W.get_value(), model.b.get_value()], None
    W, b, history = names["sgd"](names["train"], names["valid"], *rule)
    return [W, b], history[-1, 1]


def final_weights(executed):
    """Return {level: its weights (W, b) after *Run All*}."""
    names = executed.names
    theano = [names["theano_model"].W.get_value(), names["theano_model"].b.get_value()]
    numpy = [names["best"]["W"], names["best"]["b"]]
    return {1: names["keras_model"].get_weights(), 2: theano, 3: numpy}


def test_training_set_is_shuffled(executed):
    shuffled, *others = sets(executed.names)
    original, *originals = executed.few
    for found, expected in zip(others, originals, strict=True):
        assert_array_equal(np.c_[found], np.c_[expected])
    found, expected = (sorted(map(bytes, np.c_[each])) for each in (shuffled, original))
    assert found == expected, "an image is lost, or has lost its label"
    assert np.mean(shuffled[1] == original[1]) < 0.2, "it is not shuffled"


@pytest.mark.parametrize("rule", [(0.5, N, 5), (0.01, 250, 2)])
@pytest.mark.parametrize("level", DEFINITIONS)
def test_takes_textbook_steps(level, rule, executed):
    """In one batch, or on one image alone, where its order makes no difference.

    The validation labels are wrong, so that no other set has that accuracy.
    """
    names = executed.arrays | {"y_valid": (executed.arrays["y_valid"] + 1) % 10}
    if rule[1] < N:
        nine = np.full(N, names["y_train"].argmax())
        names |= {f"{letter}_train": names[f"{letter}_train"][nine] for letter in "Xy"}
    run_cells(names, *DEFINITIONS[level])
    weights, accuracy = train(level, names, *rule)
    expected = textbook_sgd(sets(names)[0], *rule)
    assert_same(weights, expected)
    if accuracy is not None:
        assert accuracy == pytest.approx(score(*sets(names)[1], *expected)[1], abs=NEAR)


@pytest.mark.parametrize("level", [1, 2, 3])
def test_level_reports_own_score(level, executed):
    name = {1: "keras", 2: "theano", 3: "numpy"}[level]
    weights, (training, _, test) = final_weights(executed)[level], sets(executed.names)
    rule = executed.names[f"{name}_rule"]
    if level > 1:  # Keras has an order of its own
        rule = {"learning_rate": executed.names["best"]["rate"], **rule}
        assert_same(weights, textbook_sgd(training, **rule))
    accuracy = executed.names[f"{name}_test"]
    assert accuracy == pytest.approx(score(*test, *weights)[1], abs=NEAR)
    said = executed.printed["level-2-train" if level == 2 else f"level-{level}-test"]
    assert np.isclose(numbers(said), 100 * accuracy, atol=0.06).any(), said
    if level == 1:  # where a sigmoid would be trained identically
        predicted = executed.names["keras_model"].predict(test[0], verbose=0)
        assert_allclose(predicted, probabilities(test[0], *weights), atol=1e-4)


@pytest.mark.parametrize("size", [1, 100, 10_000])  # exp(10,000) would overflow
def test_softmax_and_loss(size, executed):
    rng, names = np.random.default_rng(0), executed.names
    Z, y = size * rng.normal(size=(10, 99)), rng.integers(10, size=99)
    logs = Z - np.logaddexp.reduce(Z, axis=0)
    assert_allclose(names["softmax"](Z), np.exp(logs), atol=1e-10)
    loss = names["cross_entropy"](Z, names["one_hot"](y))
    assert_allclose(loss, -logs[y, range(99)].mean(), rtol=1e-9)


@pytest.mark.parametrize("factors", [(-1, 1), (1, 0), (0.1, 1), (1, 1.01)])
def test_check_stops_wrong_gradients(factors, executed):
    def gradients(*arguments):
        dW, db = executed.names["gradients"](*arguments)
        return factors[0] * dW, factors[1] * db

    with pytest.raises(AssertionError):
        show(executed.names | {"gradients": gradients}, "level-3-check")


def is_drawn(figure, points):
    """Tell whether one of the lines in a figure has these points."""
    drawn = [line.get_xydata() for ax in figure.axes for line in ax.lines]
    return any(len(each) == len(points) and np.allclose(each, points) for each in drawn)


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
    runs = [run | {"history": np.full((20, 2), 0.5)} for run in executed.names["runs"]]
    runs[4]["history"][-1], runs[6]["history"][-5] = (0.7, 0.8), (0.6, 0.9)
    runs[8]["history"][-1] = 0.1, 0.7
    names = executed.names | {"runs": runs}
    printed, _ = show(names, "level-3-best")
    assert names["best"]["rate"] == runs[4]["rate"], "another rate is taken for best"
    assert numbers(printed)[:2] == [runs[4]["rate"], 80] and 90 in numbers(printed)
    (figure,) = show(names, "level-3-sweep-plot")[1]
    assert is_drawn(figure, [(runs[4]["rate"], 0.8)]), "the best rate is not marked"


def test_plateau_is_one_step(executed):
    (X, y), (images, labels), _ = sets(executed.names)
    error = np.eye(10)[y] - 0.1
    one_step = (images @ (X.T @ error) + error.sum(axis=0)).argmax(axis=1)
    first, *rows = executed.printed["plateau"].splitlines()
    accuracy = 100 * np.mean(one_step == labels)
    assert numbers(first) == [pytest.approx(accuracy, abs=0.4)]  # one image, in 32 bits
    for row, run in zip(rows[-8:], executed.names["runs"], strict=False):
        differing = (images @ run["W"] + run["b"].T).argmax(axis=1) != one_step
        assert numbers(row)[1] == pytest.approx(differing.sum(), abs=1)


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
PLANTED = {"best": {"rate": 3.5, "seconds": 53.0}, "numpy_test": 0.43}
PLANTED |= {"numpy_rule": {"batch_size": 103, "epochs": 203}, "theano_compiling": 59.0}
for n, name in (1, "keras"), (2, "theano"):
    rule = {"learning_rate": n + 0.5, "batch_size": 100 + n, "epochs": 200 + n}
    PLANTED |= {f"{name}_rule": rule, f"{name}_test": 0.4 + n / 100}
    PLANTED[f"{name}_seconds"] = 50.0 + n
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
