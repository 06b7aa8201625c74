"""Level 3's functions: properties for all inputs, the optimum, what they refuse."""

import re
from numbers import Integral, Real

import numpy as np
import pytest
from conftest import functions, rounding_bound
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression

SCORES = arrays(
    np.float64,
    st.tuples(st.integers(2, 10), st.integers(1, 8)),
    elements=st.floats(-1e4, 1e4),
)


RATE = 0.01  # small enough for `rounding_bound`


@pytest.fixture(scope="module")
def in_64_bits(notebook):
    """The functions of Level 3 with 64-bit weights."""
    return functions(notebook, float32="float64")


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
def test_sgd_takes_the_steps_of_the_textbook(in_64_bits, problem, batch_size, seed):
    """All images, each once per epoch; a short last batch is a mean of its own size."""
    X, Y, *_ = problem = [array.astype(np.float64) for array in problem]
    W, b, history = in_64_bits["sgd"](*problem, RATE, batch_size, epochs=1, seed=seed)
    order = np.random.default_rng(seed).permutation(53)
    expected_W, expected_b = np.zeros((784, 10)), np.zeros((10, 1))
    for i in range(0, 53, batch_size):
        x, y = X[:, order[i : i + batch_size]], Y[:, order[i : i + batch_size]]
        E = np.exp(expected_W.T @ x + expected_b)
        G = (E / E.sum(axis=0) - y) / x.shape[1]
        expected_W -= RATE * x @ G.T
        expected_b -= RATE * G.sum(axis=1, keepdims=True)
    bound = rounding_bound(X, RATE, batch_size, steps=-(-53 // batch_size))
    assert np.linalg.norm(W - expected_W) <= bound < 1e-4 * np.linalg.norm(W)
    assert np.linalg.norm(b - expected_b) <= bound
    assert len(history) == 1


def test_sgd_keeps_32_bits(level_3, problem):
    """Of 64-bit images too: a learning rate is no reason to double the memory."""
    X, *rest = problem
    for images in (X, X.astype(np.float64)):
        W, b, _ = level_3["sgd"](images, *rest, np.float64(0.1), 10, epochs=1)
        assert W.dtype == b.dtype == np.float32


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


# --- Many rates at once ---------------------------------------------------------------


@settings(deadline=None, max_examples=20)
@given(
    batch_size=st.integers(1, 60),
    seed=st.integers(0, 3),
    rates=st.lists(st.floats(1e-4, RATE), min_size=1, max_size=4),
)
def test_sweep_is_sgd_for_each_rate(in_64_bits, problem, batch_size, seed, rates):
    problem = [array.astype(np.float64) for array in problem]
    options = {"batch_size": batch_size, "epochs": 2, "seed": seed}
    W, b = in_64_bits["sweep"](*problem, rates, **options)
    assert W.shape == (784, 10, len(rates)) and b.shape == (10, len(rates), 1)
    for r, rate in enumerate(rates):
        expected_W, expected_b, _ = in_64_bits["sgd"](*problem, rate, **options)
        bound = rounding_bound(problem[0], rate, batch_size, 2 * -(-53 // batch_size))
        assert np.linalg.norm(W[..., r] - expected_W) <= bound
        assert np.linalg.norm(b[:, r] - expected_b) <= bound


def test_sweep_keeps_each_rate_s_own_best_epoch(level_3, problem):
    """At 100 the second epoch is the worse one, as above; at 1e-3 it is not."""
    W, b = level_3["sweep"](*problem, [1e-3, 100.0], batch_size=5, epochs=2)
    for r, rate in enumerate([1e-3, 100.0]):
        history = level_3["sgd"](*problem, rate, batch_size=5, epochs=2)[2]
        _, accuracy = level_3["evaluate"](*problem[2:], W[..., r], b[:, r])
        assert accuracy == max(accuracy for _, accuracy in history)


@pytest.mark.parametrize("rate", [1e2, 1e6, 1e30])
def test_a_rate_that_diverges_still_ends(level_3, problem, rate):
    """The loss is above that of guessing, or infinite, or no number: never hidden."""
    with np.errstate(all="ignore"):
        W, b, history = level_3["sgd"](*problem, rate, batch_size=5, epochs=3)
        sweep_W, sweep_b = level_3["sweep"](*problem, [rate], batch_size=5, epochs=3)
        for parameters in [(W, b), (sweep_W[..., 0], sweep_b[:, 0])]:
            loss, accuracy = level_3["evaluate"](*problem[2:], *parameters)
            assert not loss < np.log(10) and 0 <= accuracy <= 1
    assert len(history) == 3


# --- The optimum ----------------------------------------------------------------------


def test_sgd_converges_to_the_optimum_of_scikit_learn(notebook):
    """On the 8×8 digits, in 64 bits, with all images in one batch and no penalty.

    Three principal components do not separate the classes (or there would be no
    optimum), and scaled to equal variance they let the descent converge.
    """
    images, labels = load_digits(return_X_y=True)
    X = PCA(3, whiten=True, random_state=0).fit_transform(images)[::3]
    labels = labels[::3]
    optimum = LogisticRegression(C=np.inf, solver="newton-cholesky", tol=1e-12)
    probabilities = optimum.fit(X, labels).predict_proba(X)
    expected_loss = -np.log(probabilities[range(len(X)), labels]).mean()

    level_3 = functions(notebook, float32="float64", _784="3")
    one_hot, X = level_3["one_hot"], X.T
    options = {"learning_rate": 4.0, "batch_size": X.shape[1], "epochs": 15_000}
    # Validation by the training set gives its loss, and by the predictions of the
    # optimum the share of predictions that agree with it.
    history = level_3["sgd"](X, one_hot(labels), X, one_hot(labels), **options)[2]
    agreed = one_hot(probabilities.argmax(axis=1))
    agreement = level_3["sgd"](X, one_hot(labels), X, agreed, **options)[2]
    print(f"loss {history[-1][0]:.12f}, optimum {expected_loss:.12f}")
    # Newton's method stops within 1e-12 of it; the descent's error is seen to shrink by
    # a factor of 200 in 3,000 epochs.
    assert history[-1][0] == pytest.approx(expected_loss, abs=1e-9)
    assert agreement[-1][1] == 1


# --- What is refused ------------------------------------------------------------------

X, Y = np.full((784, 20), 0.5, np.float32), np.eye(10, dtype=np.float32)[:, [3] * 20]
NAN, INFINITE, NO_LABEL, TWO_LABELS = X.copy(), X.copy(), Y.copy(), Y.copy()
NAN[7, 5], INFINITE[7, 5], NO_LABEL[:, 5], TWO_LABELS[0, 5] = np.nan, -np.inf, 0, 1
BAD_PARAMETERS = [
    *[
        (
            {name: value},
            ValueError,
            f"{name} must be positive and finite, not {value!r}",
        )
        for name in ("learning_rate", "batch_size", "epochs")
        for value in (0, -1)
    ],
    *[
        ({name: 2.5}, TypeError, f"{name} must be a whole number, not 2.5")
        for name in ("batch_size", "epochs")
    ],
    *[
        ({"learning_rate": value}, ValueError, f"positive and finite, not {value!r}")
        for value in (float("nan"), float("inf"), -0.5)
    ],
    *[
        ({name: value}, TypeError, f"number, not {value!r}")
        for name in ("learning_rate", "batch_size", "epochs")
        for value in ("1", None, (1,))
    ],
]
BAD_SETS = [
    (X[:783], Y, r"X must be \(784, N\) .* not \(783, 20\) and \(10, 20\)"),
    (X.T, Y, r"not \(20, 784\)"),
    (X, Y[:, :19], r"not \(784, 20\) and \(10, 19\)"),
    (X, Y.T, r"and \(20, 10\)"),
    (X, Y[3], r"and \(20,\)"),
    (X[:, :0], Y[:, :0], r"N > 0, not \(784, 0\)"),
    (X[:, 0], Y, r"not \(784,\)"),
    (NAN, Y, "X has a pixel that is NaN or infinite"),
    (INFINITE, Y, "X has a pixel that is NaN or infinite"),
    (X, NO_LABEL, "Y is not one-hot in every column: labels must be 0 to 9"),
    (X, TWO_LABELS, "Y is not one-hot"),
    (X, Y * np.nan, "Y is not one-hot"),
    (X, Y / 2, "Y is not one-hot"),
    (X, (Y + Y[::-1]) / 2, "Y is not one-hot"),
]
GOOD = {"learning_rate": 0.1, "batch_size": 10, "epochs": 1}


@pytest.fixture(params=["sgd", "sweep"])
def train(request, level_3):
    """`sgd`, or `sweep` with a second rate."""

    def call(X=X, Y=Y, X_valid=X, Y_valid=Y, **changes):
        options = GOOD | changes
        if request.param == "sweep":
            options["learning_rates"] = [1.0, options.pop("learning_rate")]
        return level_3[request.param](X, Y, X_valid, Y_valid, **options)

    return call


@pytest.mark.parametrize(("change", "kind", "message"), BAD_PARAMETERS)
def test_bad_parameter_is_refused_by_name(change, kind, message, train):
    with pytest.raises(kind, match=re.escape(message)):
        train(**change)


@pytest.mark.parametrize("valid", [False, True], ids=["training", "validation"])
@pytest.mark.parametrize(("X", "Y", "message"), BAD_SETS)
def test_bad_set_is_refused_by_name(X, Y, message, valid, train):
    with pytest.raises(ValueError, match=message):
        train(**({"X_valid": X, "Y_valid": Y} if valid else {"X": X, "Y": Y}))


@given(
    value=st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary()
    ),
    name=st.sampled_from(list(GOOD)),
)
def test_any_parameter_is_taken_or_refused_by_name(level_3, value, name):
    kind = Real if name == "learning_rate" else Integral
    if isinstance(value, kind) and 0 < value < np.inf:
        level_3["check_parameters"](**GOOD | {name: value})
    else:
        with pytest.raises((TypeError, ValueError), match=f"^{name} must be "):
            level_3["check_parameters"](**GOOD | {name: value})


EDITS = st.none() | st.tuples(
    st.integers(0, 9), st.integers(0, 19), st.floats(width=32)
)


@given(X_edit=EDITS, Y_edit=EDITS)
def test_any_set_is_taken_or_refused_by_name(level_3, X_edit, Y_edit):
    """A good set with one number of each array replaced, or none."""
    images, truth = X.copy(), Y.copy()
    for array, edit in [(images, X_edit), (truth, Y_edit)]:
        if edit:
            array[edit[0], edit[1]] = edit[2]
    ones, zeros = (truth == 1).sum(axis=0), (truth == 0).sum(axis=0)
    if np.isfinite(images).all() and (ones == 1).all() and (zeros == 9).all():
        level_3["check_set"](images, truth)
    else:
        with pytest.raises(ValueError, match=r"^[XY] (has|is not) "):
            level_3["check_set"](images, truth)


@given(*[arrays(np.float32, array_shapes(max_dims=3, max_side=3))] * 2)
def test_any_other_shape_is_refused(level_3, X, Y):
    with pytest.raises(ValueError, match=r"^X must be "):
        level_3["check_set"](X, Y)


LABELS = st.one_of(
    arrays(np.int64, st.integers(0, 12)),
    arrays(np.int64, st.integers(0, 12), elements=st.integers(-2, 11)),
    arrays(np.uint8, st.integers(0, 12), elements=st.integers(0, 11)),
    arrays(np.float64, st.integers(1, 12)),
    arrays(np.dtype("<U2"), st.integers(1, 12)),
)


@given(LABELS)
def test_any_labels_are_taken_or_refused(level_3, labels):
    if all(label in range(10) for label in labels.tolist()):
        assert level_3["one_hot"](labels).argmax(axis=0).tolist() == labels.tolist()
    else:
        with pytest.raises(
            ValueError, match=r"^labels must be integers from 0 to 9\.$"
        ):
            level_3["one_hot"](labels)


W, b = np.zeros((784, 10), np.float32), np.zeros((10, 1), np.float32)
MISFITS = [
    ("gradients", (X[:783], Y, W, b)),
    ("gradients", (X, Y[:, :19], W, b)),
    ("gradients", (X, Y, W[:, :9], b)),
    ("gradients", (X, Y, W, b[:9])),
    ("evaluate", (X[:783], Y, W, b)),
    ("evaluate", (X, Y, W[:, :9], b)),
    ("cross_entropy", (np.zeros((10, 20)), Y[:, :19])),
    ("cross_entropy", (np.zeros((10, 0)), Y)),
    ("softmax", (np.zeros((0, 20)),)),
]


@pytest.mark.parametrize(("name", "arguments"), MISFITS)
def test_numpy_refuses_these_misfits(level_3, name, arguments):
    """The formulas run for every batch and check nothing; numpy does, by the shapes."""
    with pytest.raises(ValueError) as caught:
        level_3[name](*arguments)
    assert re.search(r"\(\d+,\d*\)|size \d+|zero-size", str(caught.value))


@pytest.mark.parametrize("batch_size", [20, 21, 1000])
def test_a_batch_of_all_images_is_one_step(train, batch_size):
    np.testing.assert_equal(train(batch_size=batch_size), train(batch_size=20))


@pytest.mark.parametrize("rate", [np.float64(0.1), np.float32(0.1)])
def test_other_numbers_of_the_same_value_do_as_well(train, rate):
    np.testing.assert_equal(train(learning_rate=rate)[0], train(learning_rate=0.1)[0])
