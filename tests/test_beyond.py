"""Section 8: what its conclusions rest on, computed otherwise."""

import numpy as np
import pytest
from cells import numbers
from textbook import probabilities, sets


def test_curvature_is_largest(beyond):
    """By the eigenvalues of a small Hessian, from differences of the gradients."""
    rng = np.random.default_rng(0)
    steps = 1e-5 * np.eye(18).reshape(18, 6, 3)
    X, W, b = rng.random((6, 40)), rng.normal(size=(6, 3)), np.zeros((3, 1))
    of_W = [beyond.names["gradients"](X, 0, W + s, b)[0] for s in (*steps, *-steps)]
    hessian = (np.reshape(of_W[:18], (18, 18)) - np.reshape(of_W[18:], (18, 18))) / 2e-5
    found = beyond.names["curvature"](X, W, b, rounds=100)
    assert found == pytest.approx(np.linalg.eigvalsh(hessian)[-1], rel=1e-3)


def test_confidence_is_of_each_rate(beyond):
    X, curvature = beyond.names["X_train"].T, beyond.names["curvature"]
    rows = beyond.printed["confidence"].splitlines()[-6:]
    for row, run in zip(rows, beyond.names["runs"][-6:], strict=True):
        rate, W, b = run["learning_rate"], run["W"], run["b"]
        accuracy = run["history"]["accuracy"][-1]
        confidence = probabilities(beyond.names["X_valid"], W, b).max(axis=1).mean()
        batches = [curvature(part, W, b) for part in np.split(X, [500, 1000], axis=1)]
        share, c = np.mean(rate * np.array(batches) > 2), curvature(X, W, b)
        expected = [rate, 100 * accuracy, 100 * confidence, c, rate * c, 100 * share]
        assert numbers(row) == pytest.approx(expected, rel=0.06), row


def test_pairs_count_who_is_right(beyond):
    names, (_, valid, test) = beyond.names, sets(beyond.names)

    def guesses(data, run):
        return probabilities(data[0], run["W"], run["b"]).argmax(axis=1)

    best = names["best"]
    others = [run for run in names["runs"][-4:] if run is not best]
    pairs = [(guesses(test, best), names["keras_predicted"], test[1])]
    pairs += [(guesses(valid, best), guesses(valid, run), valid[1]) for run in others]
    rows = beyond.printed["paired-test"].splitlines()[1:]
    for row, (first, second, truth) in zip(rows, pairs, strict=True):
        n1 = np.sum((first == truth) & (second != truth))
        n2 = np.sum((first != truth) & (second == truth))
        found_1, found_2, difference = numbers(row)[-3:]
        assert [found_1, found_2] == pytest.approx([n1, n2], abs=1), row
        expected = (found_1 - found_2) / np.sqrt(found_1 + found_2)
        assert difference == pytest.approx(expected, abs=0.06), row


def test_yardsticks_take_nearest(beyond):
    (X, y), valid, test = sets(beyond.names)
    means = np.array([X[y == digit].mean(axis=0) for digit in range(10)])
    rows = beyond.printed["nearest"].splitlines()
    tried = (means, range(10), test), (means, range(10), valid), (X, y, test)
    for row, (points, labels, (images, truth)) in zip(rows[:3], tried, strict=True):
        nearest = [np.linalg.norm(points - image, axis=1).argmin() for image in images]
        right = 100 * np.mean(np.take(labels, nearest) == truth)
        assert numbers(row)[0] == pytest.approx(right, abs=0.4), row
