"""The three levels on a thousand images, against SGD as the textbook has it."""

import inspect
import os
from functools import partial

import numpy as np
import pytest
from conftest import FEW, assert_says, cells_of, column, show_cells
from notebook import run_cells
from numpy.testing import assert_allclose, assert_array_equal
from oracles import assert_takes_its_steps, one_order, seed_of, sets

from data.mnist import load_mnist

N = FEW["train"]
# One batch of all images, then several, of which the last is smaller.
PLANS = [(5000, 1), (N, 3), (N // 2, 1), (250, 1), (250, 12), (30, 1)]
RATE = 0.5
LEVEL_1 = [f"level-1-{part}" for part in ("import", "data", "model", "fit")]
LEVEL_2 = [f"level-2-{part}" for part in ("import", "model", "main")]


@pytest.fixture(scope="module")
def level_1(loaded):
    return run_cells(loaded.copy(), *LEVEL_1)


@pytest.fixture(scope="module")
def level_2(arrays):
    return run_cells(arrays.copy(), *LEVEL_2)


# Each returns W, b and the validation accuracy after each epoch.


def by_keras(names, *plan):
    model, record = names["fit_model"](*plan)
    return *model.get_weights(), record["valid_accuracies"]


def by_theano(names, *plan):
    model, record = names["main"](*sets(names), *plan)
    return model.W.get_value(), model.b.get_value(), record["valid_accuracies"]


def by_numpy(names, *plan, **seed):
    W, b, history = names["sgd"](names["train"], names["valid"], *plan, **seed)
    return W, b, [accuracy for _, accuracy in history]


LEVELS = {"level_1": by_keras, "level_2": by_theano, "level_3": by_numpy}


@pytest.fixture(params=LEVELS)
def train_level(request):
    return partial(LEVELS[request.param], request.getfixturevalue(request.param))


# --- The data, and what a level may use ---


def test_the_three_sets_are_mnist_s_and_only_the_training_set_is_shuffled():
    names = run_cells({}, "setup")
    printed = show_cells(names, "load-data").printed
    (X, y), *others = sets(names)
    original, *other_originals = load_mnist()
    for found, expected in zip(others, other_originals, strict=True):
        assert_array_equal(found[0], expected[0])
        assert_array_equal(found[1], expected[1])
    same = one_order(X, y) == one_order(*original)
    assert same, "a training image is lost, or has lost its label"
    assert np.mean(y == original[1]) < 0.2, "the training set is not shuffled"
    for line, (_, y) in zip(printed.splitlines()[-3:], sets(names), strict=True):
        shares = np.bincount(y) / len(y)
        assert_says(line, len(y), shares.min(), shares.max())


def test_arithmetic_has_one_thread(loaded):
    threads = {k: v for k, v in os.environ.items() if k.endswith("_THREADS")}
    wanted = {"OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "TF_NUM_INTRAOP_THREADS"}
    assert threads.keys() >= wanted and set(threads.values()) == {"1"}, threads


@pytest.mark.parametrize("section", ["5", "6"])
def test_level_needs_nothing_but_the_arrays_show_and_table(arrays, section):
    names = arrays.copy()
    for cell_id in cells_of(section):
        try:
            show_cells(names, cell_id)
        except NameError as error:
            pytest.fail(f"{cell_id} uses {error.name}, which is not this level's own")


# --- Training ---


def test_theano_takes_the_steps_of_the_textbook(level_2, level_3):
    """In the order of Level 3."""
    train, valid, _ = sets(level_2)
    theano, seed = partial(by_theano, level_2, RATE), seed_of(level_3["sgd"])
    assert_takes_its_steps(theano, train, valid, RATE, PLANS, seed)


@pytest.mark.parametrize("seed", [0, 7])
def test_numpy_takes_the_steps_of_the_textbook(level_3, seed):
    train, valid, _ = sets(level_3)
    sgd = partial(by_numpy, level_3, RATE, seed=seed)
    assert_takes_its_steps(sgd, train, valid, RATE, PLANS, seed)


def test_keras_takes_the_steps_of_the_textbook_to_the_last_epoch(level_1):
    """In one batch, where shuffling makes no difference.

    The validation labels are wrong, so that validation gets worse, epoch by epoch.
    """
    train, (X, y), _ = sets(level_1)
    names = run_cells(level_1 | {"y_valid": (y + 1) % 10}, *LEVEL_1)
    epochs = inspect.signature(names["fit_model"]).parameters["epochs"].default
    plans, fit = [(N, 1), (N, 2), (N, epochs)], partial(by_keras, names, RATE)
    assert_takes_its_steps(fit, train, (X, (y + 1) % 10), RATE, plans)


def test_keras_takes_a_step_for_each_batch(level_1):
    """All images are the same one, so that shuffling makes no difference."""
    (X, y), valid, _ = sets(level_1)
    X, y = X[np.zeros(N, int)], y[np.zeros(N, int)]
    names = run_cells(level_1 | {"X_train": X, "y_train": y}, *LEVEL_1)
    plans, fit = [(500, 2), (100, 1)], partial(by_keras, names, 0.01)
    assert_takes_its_steps(fit, (X, y), valid, 0.01, plans)


@pytest.mark.parametrize("rate", [1e300, float("nan"), 0, -1, 1], ids=str)
@pytest.mark.filterwarnings("ignore:overflow", "ignore:invalid value")
def test_strange_learning_rate_ends_in_numbers(train_level, rate):
    W, _, accuracies = train_level(rate, np.int64(500), np.int64(2))
    assert len(accuracies) == 2 and all(0 <= each <= 1 for each in accuracies)
    assert rate != 0 or not W.any(), "a rate of 0 must leave the weights at zero"


@pytest.mark.parametrize("bad", [0, -1, 1.5, 500.0])
@pytest.mark.parametrize("name", ["batch_size", "epochs"])
def test_level_refuses_what_is_no_whole_number_from_1(train_level, name, bad):
    """By an error of its own or of Python's: -O leaves out what `assert` refuses."""
    plan = (bad, 2) if name == "batch_size" else (500, bad)
    try:
        train_level(1.0, *plan)
    except (ValueError, TypeError):
        return
    pytest.fail(f"this level trains with {name} = {bad}: refuse it")


# --- The functions of Level 3 ---


@pytest.mark.parametrize("size", [1, 100, 10_000])
def test_softmax_and_loss_are_those_of_the_definition(level_3, size):
    """By logarithms that numpy adds; `exp` of 10,000 would overflow."""
    rng = np.random.default_rng(0)
    Z, y = size * rng.normal(size=(10, 99)), rng.integers(10, size=99)
    logs = Z - np.logaddexp.reduce(Z, axis=0)
    assert_allclose(level_3["softmax"](Z), np.exp(logs), atol=1e-10)
    loss = level_3["cross_entropy"](Z, level_3["one_hot"](y))
    assert_allclose(loss, -logs[y, range(99)].mean(), rtol=1e-9)


def test_level_3_computes_in_32_bits(level_3):
    X, Y_true = level_3["train"]
    dW, db = level_3["gradients"](X, Y_true, level_3["zero_W"], level_3["zero_b"])
    bits = {"one-hot": Y_true.dtype, "dW": dW.dtype, "db": db.dtype}
    assert set(bits.values()) == {np.dtype("float32")}, bits


FACTORS = [(-1, 1), (1, -1), (1, 0), (0.1, 1), (1.001, 1), (1, 1.01)]


@pytest.mark.parametrize("factors", FACTORS)
def test_check_stops_a_learner_whose_gradients_are_wrong(level_3, factors):
    right = level_3["gradients"]

    def gradients(*arguments):
        return [f * g for f, g in zip(factors, right(*arguments), strict=True)]

    with pytest.raises(AssertionError):
        run_cells(level_3 | {"gradients": gradients}, "level-3-check")


def test_check_stops_a_learner_whose_labels_or_loss_are_wrong(level_3):
    with pytest.raises(AssertionError):
        run_cells(level_3 | {"y_train": np.full(N, 10)}, "level-3-columns")
    with pytest.raises(AssertionError):
        run_cells(level_3 | {"zero_b": np.arange(10)[:, np.newaxis]}, "level-3-loss")


# --- The seconds: from the call to the trained weights ---


def test_keras_s_seconds_include_the_model_and_all_epochs(level_1, clock):
    class Model:
        def __init__(self, rate):
            clock.spend(100)

        def fit(self, *data, epochs, **options):
            self.history = {"val_accuracy": [0.5] * epochs}
            return clock.spend(3 * epochs, self)

    names = run_cells(level_1 | {"new_model": Model}, "level-1-fit")
    _, record = names["fit_model"](1.0, 500, 4)
    assert record["seconds"] == 100 + 3 * 4


def test_theano_s_seconds_include_compiling_and_exclude_the_test_set(
    level_2, clock, monkeypatch
):
    """A function is compiled in 100 seconds and called in one."""
    compiled = level_2["theano"].function

    def function(*arguments, **options):
        step = compiled(*arguments, **options)
        return clock.spend(100, lambda *values: clock.spend(1, step(*values)))

    monkeypatch.setattr(level_2["theano"], "function", function)
    _, record = level_2["main"](*sets(level_2), 1.0, 250, 2)
    assert record["seconds"] == clock.now - 1 > 200, "all but one look at the test set"


def test_numpy_s_seconds_are_those_of_sgd_alone(swept, clock):
    """Also in section 7, where each level is trained once more."""
    spans, tables = iter(range(3, 99)), []

    def slow(result):
        return lambda *arguments, **options: clock.spend(1000, result)

    def sgd(*arguments, **options):
        return clock.spend(next(spans), (None, None, [(2.0, 0.5)] * 20))

    names = swept.names | {"sgd": sgd, "evaluate": slow((2.0, 0.5))}
    names["table"] = lambda *lines, **how: clock.spend(1000, tables.append(lines))
    names["main"] = names["fit_model"] = slow((None, {}))
    run_cells(names, "level-3-sweep", "level-3-best", "level-3-test")
    seconds = [run["seconds"] for run in names["runs"]]
    assert seconds == list(range(3, 3 + len(seconds)))
    for cell, expected in zip(column(tables[-1], "time"), seconds, strict=True):
        assert_says(cell, expected)
    assert names["numpy_result"]["seconds"] == names["best"]["seconds"]
    run_cells(names, "comparison-again")
    assert names["numpy_again"] == next(spans) - 1
