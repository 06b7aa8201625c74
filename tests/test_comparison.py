"""What the notebook prints beside the levels, recomputed from the data."""

import re

import numpy as np
import pytest
from conftest import Clock, Shown, best_of, numbers, score, sets, textbook_sgd
from numpy.testing import assert_allclose, assert_array_equal


def test_class_balance_counts_the_images_of_each_digit(executed):
    ((_, *rows),) = executed.shown["class-balance"].tables
    for row, (X, y) in zip(rows, sets(executed.names), strict=True):
        counts = [np.sum(y == digit) for digit in range(10)]
        assert numbers(row[1]) == [len(X), 784]
        assert [numbers(cell)[0] for cell in row[-10:]] == counts


@pytest.mark.parametrize("n", [250, 600, 1030])
def test_levels_are_compared_after_the_same_batches(executed, n):
    """600 images end with a batch of 100, 1,030 with one of 30."""
    names = executed.names
    train = names["X_train"][:n], names["y_train"][:n]
    expected = np.vstack(textbook_sgd(train, 1.0, 250, 1)[0])
    by_keras, by_theano, by_numpy = levels = names["parameters_after"](n)
    for level in levels:
        assert_allclose(level, expected, atol=1e-6)
    assert not np.array_equal(by_theano, by_numpy)  # each its own program's
    assert not np.array_equal(by_keras, by_numpy)


@pytest.mark.parametrize("level", range(3))
def test_learner_whose_levels_differ_is_told_so(executed, level):
    parameters = np.ones((3, 785, 10))
    planted = executed.names | {"parameters_after": lambda n: parameters}
    same = Shown(planted, "comparison-differences").printed
    parameters[level, -1, 5] += 1e-4  # a bias
    assert Shown(planted, "comparison-differences").printed != same


def test_disagreement_is_counted_image_by_image(executed):
    """By weights that differ: those of a tiny rate in place of the best."""
    names, theano = executed.names, executed.names["theano_model"]
    planted = names | {"best": names["runs"][0]}
    X, _ = sets(names)[2]
    numpy_predicted = (X @ planted["best"]["W"] + planted["best"]["b"].T).argmax(axis=1)
    others = {
        "Keras": names["keras_model"].predict(X, verbose=0),
        "Theano": X @ theano.W.get_value() + theano.b.get_value(),
    }
    printed = Shown(planted, "comparison-agreement").printed
    for line, (name, scores) in zip(printed.splitlines(), others.items(), strict=True):
        count = np.sum(scores.argmax(axis=1) != numpy_predicted)
        assert name in line and {count, len(X)} <= set(numbers(line)) and count > 0


def test_other_parameters_are_told_from_the_same(executed):
    def printed(report):
        reports = executed.names["reports"] | {"Theano": report}
        planted = executed.names | {"reports": reports}
        return Shown(planted, "comparison-agreement").printed

    same = executed.names["numpy_report"]
    for name in executed.names["numpy_parameters"]:
        assert printed(same) != printed(same | {name: 7}), name


def test_orders_are_five_trainings_scored_at_their_best_epoch(executed):
    names, printed = executed.names, executed.shown["comparison-orders"].printed
    (X, y), valid, test = sets(names)
    parameters = names["numpy_parameters"].values()
    expected = [names["numpy_report"]["test_accuracy"]]
    for seed in range(1, 5):
        order = np.random.default_rng(seed).permutation(len(y))
        history = textbook_sgd((X[order], y[order]), *parameters, seed)
        expected.append(score(*test, *best_of(history, valid))[1])
    # Rounding may move an image over the border, or choose another equal epoch.
    assert_allclose(names["orders"], expected, atol=0.01)
    mean = names["orders"].mean()
    error = 100 * np.sqrt(mean * (1 - mean) / len(test[0]))
    for value in [*names["orders"], error]:
        assert any(abs(each - value) < 0.006 for each in numbers(printed)), value


def test_level_outside_the_range_of_the_orders_is_told_from_one_inside(executed):
    def printed(accuracy):
        report = executed.names["keras_report"] | {"test_accuracy": accuracy}
        planted = {"reports": {"Keras": report}}
        text = Shown(executed.names | planted, "comparison-orders").printed
        return re.sub(r"[\d.]+%", "", text)  # what it says beside the numbers

    orders = executed.names["orders"]
    assert np.ptp(orders) > 0.004, "the orders must differ, for this test"
    inside = printed(orders.min())
    assert printed(orders.max()) == inside
    assert printed(orders.min() - 0.001) == printed(orders.max() + 0.001) != inside


@pytest.fixture
def reports(executed):
    """What the levels may report, all different."""
    keys = ["valid_accuracy", "test_accuracy"]
    keys += ["training_seconds", "startup_seconds", "together_seconds"]
    choose = executed.names["choose"]
    planted = {
        "Keras": (choose(0.5, 1, 5), (0.31, 0.41, 70, 15, 23)),
        "Theano": (choose(3, 2, 4), (0.61, 0.71, 90, 10, 25)),
        "numpy": (choose(6, 7, 3), (0.81, 0.91, 84, 0, 27)),
    }
    return {
        name: parameters | dict(zip(keys, results, strict=True))
        for name, (parameters, results) in planted.items()
    }


def test_table_shows_each_level_s_own_values(executed, reports):
    planted = {f"{name.lower()}_report": report for name, report in reports.items()}
    shown = Shown(executed.names | planted, "comparison-table")
    for name, report in reports.items():
        assert_allclose(sorted(shown.column(name)), sorted(report.values()))
    ((_, *rows),) = shown.tables
    for word, key in ("training", "training_seconds"), ("start-up", "startup_seconds"):
        (row,) = (cells for title, *cells in rows if word in title)
        assert [numbers(cell)[0] for cell in row] == [r[key] for r in reports.values()]


def test_times_are_per_epoch_and_relative_to_numpy_and_ranked(executed, reports):
    planted = {"reports": reports, "numpy_report": reports["numpy"]}
    shown = Shown(executed.names | planted, "comparison-times")
    assert shown.column("epoch") == [14, 22.5, 28]
    assert shown.column("compared") == pytest.approx([0.5, 0.8, 1], abs=0.06)
    alone, all_in = shown.printed.splitlines()
    assert "Keras, numpy, Theano" in alone and "Keras, Theano, numpy" in all_in


def test_second_start_up_is_the_excess_of_the_first_epoch(executed):
    def history(*durations):
        return {"ticks": list(np.cumsum([0, *durations]))}

    planted = {
        "fit_model": lambda **parameters: (None, history(9, 2, 3)),
        "main": lambda *sets, **parameters: (None, history(5, 1, 1), None),
    }
    keras, theano = Shown(
        executed.names | planted, "comparison-again"
    ).printed.splitlines()
    assert "Keras" in keras and numbers(keras) == [6]
    assert "Theano" in theano and numbers(theano) == [4]


def test_epoch_with_fewer_steps_is_the_median_one(executed):
    """The planted epochs take as many seconds as a batch has hundreds of images."""

    def fit_model(**parameters):
        _, batch_size, _ = parameters.values()
        return None, {"ticks": list(np.cumsum([0, 99, *[batch_size / 100] * 3]))}

    printed = Shown(
        executed.names | {"fit_model": fit_model}, "comparison-steps"
    ).printed
    assert [numbers(line) for line in printed.splitlines()] == [[250, 2.5], [2500, 25]]


def test_share_of_the_products_is_that_of_the_median_round(executed):
    """Of two batches each; an epoch of `sgd` takes ten seconds."""
    clock = Clock()
    spans = iter(np.repeat([1, 2, 3, 40, 50], 4) / 4)  # of the four products

    class Images:
        shape = 784, 500
        __array_ufunc__ = None  # numpy asks this class for the product

        def __getitem__(self, batch):
            return self

        def __matmul__(self, other):
            clock.spend(next(spans))

        __rmatmul__ = __matmul__

    planted = {"time": clock, "X": Images(), "fixed": {"batch_size": 250}}
    planted["sgd"] = lambda *arguments, **parameters: clock.spend(10)
    shown = Shown(executed.names | planted, "comparison-products")
    assert numbers(shown.printed) == [pytest.approx(0.3)]


def test_nearest_images_are_found(executed):
    (X, y), valid, test = sets(executed.names)
    means = np.array([X[y == digit].mean(axis=0) for digit in range(10)])

    def read(points, labels, images, truth):
        guesses = [labels[np.linalg.norm(points - x, axis=1).argmin()] for x in images]
        return np.mean(guesses == truth)

    expected = [read(means, range(10), *part) for part in (test, valid)]
    expected.append(read(X, y, *test))
    printed = numbers(executed.shown["comparison-yardstick"].printed)
    assert printed == [pytest.approx(each, abs=0.004) for each in expected]


def test_confusion_and_trust_are_counted_on_the_validation_set(executed):
    names, shown = executed.names, executed.shown
    X, y = sets(names)[1]
    Z = (X @ names["best"]["W"] + names["best"]["b"].T).astype(float)
    predicted = Z.argmax(axis=1)
    certainty = np.exp(Z.max(axis=1) - np.logaddexp.reduce(Z, axis=1))
    pairs = [
        [np.sum((y == i) & (predicted == j)) for j in range(10)] for i in range(10)
    ]
    assert_array_equal(names["confusion"], pairs)

    true, guess, times, digit, missed = numbers(shown["learned-confusion"].printed)
    errors = np.array(pairs) * (1 - np.eye(10, dtype=int))
    assert times == errors.max() == errors[int(true), int(guess)]
    shares = errors.sum(axis=1) / np.sum(pairs, axis=1)
    assert shares[int(digit)] == shares.max()
    assert missed == pytest.approx(shares.max(), abs=0.005)

    sure = certainty > 0.99
    found = numbers(shown["learned-trust"].printed)
    counted = np.sum(sure), np.sum(sure & (predicted != y))
    assert found[1:3] == [pytest.approx(each, abs=1) for each in counted]
    means = certainty.mean(), np.mean(predicted == y)
    assert found[3:] == [pytest.approx(each, abs=0.001) for each in means]
