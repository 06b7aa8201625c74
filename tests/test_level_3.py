"""Level 3's functions: properties that hold for all inputs, and the rules of SGD."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

SCORES = arrays(
    np.float64,
    st.tuples(st.integers(2, 10), st.integers(1, 8)),
    elements=st.floats(-1e4, 1e4),
)


@pytest.fixture(scope="module")
def problem():
    """Training and validation images (784, N) with their one-hot labels (10, N)."""
    rng = np.random.default_rng(0)
    patterns = rng.random((784, 10), dtype=np.float32)

    def draw(n):
        labels = rng.integers(10, size=n)
        noise = rng.random((784, n), dtype=np.float32)
        return (patterns[:, labels] + noise) / 2, np.eye(10, dtype=np.float32)[
            :, labels
        ]

    return *draw(53), *draw(40)


@given(SCORES)
def test_softmax_gives_probabilities(level_3, Z):
    Y = level_3["softmax"](Z)
    assert Y.shape == Z.shape and (Y >= 0).all()
    np.testing.assert_allclose(Y.sum(axis=0), 1, rtol=1e-12)
    # The larger of two scores never gets the smaller probability.
    order = np.argsort(Z, axis=0)
    assert (np.diff(np.take_along_axis(Y, order, axis=0), axis=0) >= 0).all()


@given(SCORES, st.floats(-1e4, 1e4))
def test_softmax_ignores_a_shift_of_all_scores(level_3, Z, shift):
    # Rounding a score of size 2e4 changes it by up to 4e-12, and so the result.
    shifted = level_3["softmax"](Z + shift)
    np.testing.assert_allclose(shifted, level_3["softmax"](Z), atol=1e-11)


@given(SCORES, st.data())
def test_cross_entropy_is_finite_and_that_of_the_definition(level_3, Z, data):
    K, N = Z.shape
    labels = data.draw(st.lists(st.integers(0, K - 1), min_size=N, max_size=N))
    found = level_3["cross_entropy"](Z, np.eye(K)[:, labels])
    expected = np.logaddexp.reduce(Z, axis=0) - Z[labels, range(N)]
    assert np.isfinite(found)
    np.testing.assert_allclose(found, expected.mean(), rtol=1e-9, atol=1e-9)


@given(st.lists(st.integers(0, 9), min_size=1, max_size=50))
def test_one_hot_marks_the_label(level_3, labels):
    Y = level_3["one_hot"](np.array(labels))
    assert Y.shape == (10, len(labels)) and set(Y.ravel()) == {0, 1}
    assert (Y.sum(axis=0) == 1).all() and Y.argmax(axis=0).tolist() == labels


@settings(deadline=None, max_examples=20)
@given(batch_size=st.integers(1, 60), seed=st.integers(0, 3))
def test_sgd_takes_the_steps_of_the_textbook(level_3, problem, batch_size, seed):
    """All images, each once per epoch; a short last batch is a mean of its own size."""
    X, Y, *_ = problem
    W, b, history = level_3["sgd"](*problem, 0.1, batch_size, epochs=1, seed=seed)
    order = np.random.default_rng(seed).permutation(53)
    expected_W, expected_b = np.zeros((784, 10)), np.zeros((10, 1))
    for i in range(0, 53, batch_size):
        x, y = X[:, order[i : i + batch_size]], Y[:, order[i : i + batch_size]]
        E = np.exp(expected_W.T @ x + expected_b)
        G = (E / E.sum(axis=0) - y) / x.shape[1]
        expected_W -= 0.1 * x @ G.T
        expected_b -= 0.1 * G.sum(axis=1, keepdims=True)
    assert W.dtype == b.dtype == np.float32 and len(history) == 1
    # At most 53 steps, each 0.1 times a sum of at most 53 numbers below 1, which
    # float32 rounds to 24 bits one by one.
    bound = 53 * 0.1 * 53 * 2**-24
    np.testing.assert_allclose(W, expected_W, rtol=0, atol=bound)
    np.testing.assert_allclose(b, expected_b, rtol=0, atol=bound)


def test_sgd_returns_the_best_epoch(level_3, problem):
    """At a rate of 100 the accuracy jumps, and the second epoch is the worse one."""
    W, b, history = level_3["sgd"](*problem, 100.0, batch_size=5, epochs=2)
    accuracies = [accuracy for _, accuracy in history]
    assert max(accuracies) > accuracies[-1]
    kept = level_3["evaluate"](*problem[2:], W, b)
    assert kept == history[int(np.argmax(accuracies))]


def test_sgd_with_one_seed_is_repeatable(level_3, problem):
    first, again, other = (
        level_3["sgd"](*problem, 0.1, batch_size=10, epochs=3, seed=seed)
        for seed in (0, 0, 1)
    )
    assert (first[0] == again[0]).all() and (first[1] == again[1]).all()
    assert (first[0] != other[0]).any()


def test_evaluate_counts_correct_predictions(level_3):
    X, W, b = np.eye(3), np.diag([5.0, 5.0, -5.0]), np.zeros((3, 1))
    loss, accuracy = level_3["evaluate"](X, np.eye(3), W, b)
    assert accuracy == pytest.approx(2 / 3)
    right, wrong = np.log(1 + 2 * np.exp(-5)), np.log(1 + 2 * np.exp(5))
    assert loss == pytest.approx((2 * right + wrong) / 3)
