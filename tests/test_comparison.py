"""What the notebook prints beside the levels, recomputed from the data."""

import re

import numpy as np
import pytest
from conftest import Clock, best_of, run_cells, score, sets, textbook_sgd
from numpy.testing import assert_allclose, assert_array_equal


def numbers(text):
    """Return the numbers in a text: 1,030 as 1030.0, 92% as 92.0."""
    found = re.findall(r"-?\d[\d,]*\.?\d*(?:e[-+]\d+)?", text)
    return [float(each.replace(",", "")) for each in found]


def test_class_balance_counts_the_images_of_each_digit(executed):
    _, *rows = executed.printed["class-balance"].splitlines()
    for row, (X, y) in zip(rows, sets(executed.names), strict=True):
        counts = [np.sum(y == digit) for digit in range(10)]
        assert numbers(row) == [len(X), 784, *counts]


def test_label_8_becomes_what_the_assignment_says(executed):
    shown = executed.printed["level-3-one-hot"]
    assert numbers(shown)[1:] == [0, 0, 0, 0, 0, 0, 0, 0, 1, 0]


@pytest.mark.parametrize("n", [250, 600, 1030])
def test_levels_are_compared_after_the_same_batches(executed, n):
    """600 images end with a batch of 100, 1,030 with one of 30."""
    names = executed.names
    train = names["X_train"][:n], names["y_train"][:n]
    expected, _ = textbook_sgd(train, 1.0, 250, 1)[0]
    levels = names["weights_after"](n)
    assert len(levels) == 3
    for W in levels:
        assert_allclose(W, expected, atol=1e-6)
    by_keras, by_theano, by_numpy = levels
    assert not np.array_equal(by_theano, by_numpy)  # each its own program's
    assert not np.array_equal(by_keras, by_numpy)


@pytest.mark.parametrize("level", range(3))
def test_learner_whose_levels_differ_is_told_so(executed, level):
    def weights_after(n):
        weights = [np.ones((784, 10)) for _ in range(3)]
        weights[level][5, 5] += 1e-4
        return weights

    names = executed.names | {"weights_after": weights_after}
    with pytest.raises(AssertionError, match="not one model"):
        run_cells(names, "comparison-differences")


def test_differences_are_those_of_the_weights(executed, capsys):
    weights = [
        np.zeros((784, 10)),
        np.full((784, 10), -4e-6),
        np.full((784, 10), 0.0),
    ]
    weights[0][0, 0] = weights[1][0, 0] = weights[2][0, 0] = -0.75
    names = executed.names | {"weights_after": lambda n: weights}
    run_cells(names, "comparison-differences")
    first, second = capsys.readouterr().out.splitlines()
    assert numbers(first) == [250, 0.75, 4e-6]
    assert numbers(second) == [1030, 0.75, 4e-6]


@pytest.mark.parametrize("same", [True, False])
def test_theano_and_numpy_are_compared_image_by_image(executed, capsys, same):
    names = executed.names
    X, _ = sets(names)[2]
    report = names["numpy_report"].copy()
    if not same:
        report["batch_size"] += 1
    run_cells(names | {"theano_report": report}, "comparison-agreement")
    printed = capsys.readouterr().out
    regression = names["regression"]
    predicted = [
        (X @ W + b.ravel()).argmax(axis=1)
        for W, b in [
            (regression.W.get_value(), regression.b.get_value()),
            (names["best_W"], names["best_b"]),
        ]
    ]
    assert numbers(printed) == [np.sum(predicted[0] != predicted[1]), len(X)]
    assert ("same parameters" in printed) == same


def test_disagreement_is_counted(executed, capsys):
    """Where the best weights are not Theano's, it is not zero."""
    other = executed.names | {"best_W": -executed.names["best_W"]}
    run_cells(other, "comparison-agreement")
    assert numbers(capsys.readouterr().out)[0] > 100


def test_orders_are_five_trainings_scored_at_their_best_epoch(executed):
    names = executed.names
    (X, y), valid, test = sets(names)
    report = names["numpy_report"]
    parameters = report["learning_rate"], report["batch_size"], report["epochs"]
    expected = [report["test_accuracy"]]
    for seed in range(1, 5):
        order = np.random.default_rng(seed).permutation(len(y))
        history = textbook_sgd((X[order], y[order]), *parameters, seed)
        expected.append(score(*test, *best_of(history, valid))[1])
    # Rounding may move an image over the border, or choose another equal epoch.
    assert_allclose(names["orders"], expected, atol=0.01)
    printed = numbers(executed.printed["comparison-orders"])
    reports = names["reports"].values()
    levels = [report["test_accuracy"] for report in reports]
    spans = np.ptp(names["orders"]), np.ptp(levels)
    assert printed == [
        round(100 * each, 2) for each in [*names["orders"], *spans]
    ]


def test_orders_choose_their_epoch_on_the_validation_set(executed):
    """Not on the test set that scores them, nor by the training set."""
    names = executed.names
    chosen_on = []

    def sgd(X, Y_true, X_valid, Y_valid, *rest):
        chosen_on.append((X_valid, Y_valid.argmax(axis=0)))
        return names["best_W"], names["best_b"], []

    run_cells(names | {"sgd": sgd}, "comparison-orders")
    assert len(chosen_on) == 4
    for images, labels in chosen_on:
        assert_array_equal(images.T, names["X_valid"])
        assert_array_equal(labels, names["y_valid"])


def test_table_shows_each_level_s_own_values(executed, capsys):
    keys = list(executed.names["numpy_report"])
    rows = [
        (0.5, 1, 2, 0.31, 0.41, 7.0, 8.0),
        (3, 4, 5, 0.61, 0.71, 9.0, 10.0),
        (6, 7, 8, 0.81, 0.91, 11.0, 0.0),
    ]
    names = executed.names.copy()
    for level, row in zip(("keras", "theano", "numpy"), rows, strict=True):
        names[f"{level}_report"] = dict(zip(keys, row, strict=True))
    run_cells(names, "comparison-table")
    head, *lines = capsys.readouterr().out.splitlines()
    assert head.split() == ["Keras", "Theano", "numpy"]
    expected = np.array(rows).T * np.c_[[1, 1, 1, 100, 100, 1, 1]]
    for line, values in zip(lines, expected, strict=True):
        if values[-1]:
            assert_allclose(numbers(line), values)
        else:  # numpy has no start-up, and says so in words
            assert_allclose(numbers(line), values[:2])
            assert not re.search(r"\d\s*$", line)


def test_times_are_per_epoch_and_relative_to_numpy(executed, capsys):
    reports = {
        name: {"training_seconds": seconds, "epochs": epochs}
        for name, seconds, epochs in [
            ("Keras", 12.0, 10),
            ("Theano", 6.0, 20),
            ("numpy", 8.0, 40),
        ]
    }
    run_cells(executed.names | {"reports": reports}, "comparison-times")
    rows = [numbers(row) for row in capsys.readouterr().out.splitlines()]
    assert rows == [[1.2, 6.0], [0.3, 1.5], [0.2, 1.0]]


def test_products_of_every_batch_are_timed_beside_an_epoch(executed, capsys):
    """Counted on images that know when they are multiplied."""
    multiplied, clock = [], Clock()

    class Watched(np.ndarray):
        def __array_ufunc__(self, ufunc, method, *inputs, **options):
            plain = [np.asarray(each) for each in inputs]
            multiplied.append((ufunc, *(each.shape for each in plain)))
            clock.spend(1)
            return getattr(ufunc, method)(*plain, **options)

    def sgd(*arguments, epochs):
        assert epochs == 1
        clock.spend(40)

    names = {"X": executed.names["X"].view(Watched), "sgd": sgd, "time": clock}
    run_cells(executed.names | names, "comparison-products")
    epoch = []
    batch_size = executed.names["batch_size"]
    for start in range(0, 1030, batch_size):
        size = min(batch_size, 1030 - start)
        epoch += [
            (np.matmul, (10, 784), (784, size)),
            (np.matmul, (784, size), (size, 10)),
        ]
    assert multiplied == 5 * epoch
    share = 100 * len(epoch) / 40  # a product took a second
    assert numbers(capsys.readouterr().out) == [round(share)]


def test_nearest_mean_image_is_scored_on_the_test_set(executed):
    (X, y), _, (x, truth) = sets(executed.names)
    means = np.array([X[y == digit].mean(axis=0) for digit in range(10)])
    nearest = [np.linalg.norm(means - image, axis=1).argmin() for image in x]
    printed = numbers(executed.printed["comparison-yardstick"])
    assert printed == [pytest.approx(100 * np.mean(nearest == truth), abs=0.4)]


def test_confusion_and_trust_are_counted_on_the_validation_set(executed):
    names = executed.names
    X, y = sets(names)[1]
    Z = (X @ names["best_W"] + names["best_b"].T).astype(float)
    predicted = Z.argmax(axis=1)
    certainty = np.exp(Z.max(axis=1) - np.logaddexp.reduce(Z, axis=1))
    pairs = [
        [np.sum((y == i) & (predicted == j)) for j in range(10)]
        for i in range(10)
    ]
    assert_array_equal(names["confusion"], pairs)

    true, guess, times, digit, missed = numbers(
        executed.printed["learned-confusion-worst"]
    )
    errors = np.array(pairs) * (1 - np.eye(10, dtype=int))
    assert times == errors.max() == errors[int(true), int(guess)]
    shares = errors.sum(axis=1) / np.sum(pairs, axis=1)
    assert shares[int(digit)] == shares.max()
    assert missed == pytest.approx(100 * shares.max(), abs=0.5)

    sure = certainty > 0.99
    found = numbers(executed.printed["learned-trust"])
    counted = np.sum(sure), np.sum(sure & (predicted != y))
    assert found[1:3] == [pytest.approx(each, abs=1) for each in counted]
    means = 100 * certainty.mean(), 100 * np.mean(predicted == y)
    assert found[3:] == [pytest.approx(each, abs=0.1) for each in means]
