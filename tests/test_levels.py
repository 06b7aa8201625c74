"""The three levels on a thousand images, against SGD as the textbook has it."""

import inspect
import os

import numpy as np
import pytest
from conftest import FEW, cells_of, numbers, run_cells, show_cells
from numpy.testing import assert_allclose, assert_array_equal
from oracles import assert_takes_its_steps, score, sets, textbook_sgd

from data.mnist import load_mnist

N = FEW["train"]
RATE = 0.5
# Batches of (nearly) all images, then several, of which the last is smaller.
PLANS = [(5000, 1), (N, 3), (N // 2, 1), (250, 1), (250, 12), (30, 1)]


LEVEL_1 = [f"level-1-{part}" for part in ("import", "data", "model", "fit")]
LEVEL_2 = [f"level-2-{part}" for part in ("import", "model", "main")]


@pytest.fixture(scope="module")
def level_1(loaded):
    return run_cells(loaded.copy(), *LEVEL_1)


@pytest.fixture(scope="module")
def level_2(arrays):
    return run_cells(arrays.copy(), *LEVEL_2)


@pytest.fixture(params=["Keras", "Theano", "numpy"])
def train_level(request):
    """A level's `train(rate, batch_size, epochs)`, which returns W, b, accuracies."""
    if request.param == "Keras":
        names = request.getfixturevalue("level_1")

        def train(*plan):
            model, record = names["fit_model"](*plan)
            return *model.get_weights(), record["valid_accuracies"]

    elif request.param == "Theano":
        names = request.getfixturevalue("level_2")

        def train(*plan):
            model, record = names["main"](*sets(names), *plan)
            weights = model.W.get_value(), model.b.get_value()
            return *weights, record["valid_accuracies"]

    else:
        names = request.getfixturevalue("level_3")

        def train(*plan):
            W, b, history = names["sgd"](names["train"], names["valid"], *plan)
            return W, b, [accuracy for _, accuracy in history]

    return train


# --- The data, and what a level may use ---


def test_the_three_sets_are_mnist_s_and_only_the_training_set_is_shuffled():
    original = load_mnist()
    names = {}
    run_cells(names, "setup")
    printed = show_cells(names, "load-data").printed
    lines = printed.splitlines()[-3:]
    loaded = sets(names)
    for (X, y), (images, labels) in zip(loaded[1:], original[1:], strict=True):
        assert_array_equal(X, images)
        assert_array_equal(y, labels)
    (X, y), (images, labels) = loaded[0], original[0]
    found, expected = (
        sorted((image.tobytes(), label) for image, label in zip(*each, strict=True))
        for each in ((X, y), (images, labels))
    )
    assert found == expected, "an image is lost, or has lost its label"
    assert np.mean(y == labels) < 0.2, "the training set is not shuffled"
    for line, (_, y) in zip(lines, loaded, strict=True):
        shares = [np.mean(y == digit) for digit in range(10)]
        found = [number for number, _ in numbers(line)]
        expected = [len(y), min(shares), max(shares)]
        assert found == pytest.approx(expected, abs=0.006), line


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
    train, valid, test = sets(level_2)
    seed = inspect.signature(level_3["sgd"]).parameters["seed"].default

    def theano(*plan):
        model, record = level_2["main"](train, valid, test, RATE, *plan)
        weights = model.W.get_value(), model.b.get_value()
        expected = score(*test, *weights)[1]
        assert record["test_accuracy"] == pytest.approx(
            expected, abs=2.1 / len(test[0])
        )
        return *weights, record["valid_accuracies"]

    assert_takes_its_steps(theano, train, valid, RATE, PLANS, seed)


@pytest.mark.parametrize("seed", [0, 7])
def test_numpy_takes_the_steps_of_the_textbook(level_3, seed):
    train, valid, _ = sets(level_3)
    losses = []

    def sgd(*plan):
        few = level_3["train"], level_3["valid"]
        W, b, history = level_3["sgd"](*few, RATE, *plan, seed=seed)
        losses.append([loss for loss, _ in history])
        return W, b, [accuracy for _, accuracy in history]

    assert_takes_its_steps(sgd, train, valid, RATE, PLANS, seed)
    for plan, found in zip(PLANS, losses, strict=True):
        history = textbook_sgd(train, RATE, *plan, seed)
        expected = [score(*valid, *weights)[0] for weights in history]
        assert_allclose(found, expected, rtol=1e-2, err_msg=f"losses, {plan}")


def test_keras_takes_the_steps_of_the_textbook(level_1):
    """In one batch, where shuffling makes no difference.

    The validation labels are wrong, so that validation gets worse: the last epoch
    counts nevertheless, and training does not stop.
    """
    (X, y), (X_valid, y_valid), _ = sets(level_1)
    wrong = (y_valid + 1) % 10
    names = run_cells(level_1 | {"y_valid": wrong}, *LEVEL_1)

    def fit(*plan):
        model, record = names["fit_model"](RATE, *plan)
        return *model.get_weights(), record["valid_accuracies"]

    epochs = inspect.signature(names["fit_model"]).parameters["epochs"].default
    plans = [(N, 1), (N, 2), (N, epochs)]
    assert_takes_its_steps(fit, (X, y), (X_valid, wrong), RATE, plans)


def test_keras_takes_a_step_for_each_batch(level_1):
    """All images are the same one, so their order makes no difference."""
    few = level_1["X_train"][np.zeros(N, int)], level_1["y_train"][np.zeros(N, int)]
    X_train, y_train = few
    planted = level_1 | {"X_train": X_train, "y_train": y_train}
    names = run_cells(planted, *LEVEL_1)

    def fit(*plan):
        model, record = names["fit_model"](0.01, *plan)
        return *model.get_weights(), record["valid_accuracies"]

    assert_takes_its_steps(fit, few, sets(level_1)[1], 0.01, [(500, 2), (100, 1)])


@pytest.mark.parametrize("rate", [1e300, float("nan"), 0, -1, 1], ids=str)
@pytest.mark.filterwarnings("ignore:overflow", "ignore:invalid value")
def test_strange_learning_rate_ends_in_numbers(train_level, rate):
    W, _, accuracies = train_level(rate, np.int64(500), np.int64(2))
    assert len(accuracies) == 2 and all(0 <= each <= 1 for each in accuracies)
    assert rate != 0 or not W.any(), "a rate of 0 must leave the weights at zero"


@pytest.mark.parametrize("bad", [0, -1, 1.5, 500.0])
@pytest.mark.parametrize("place", ["batch_size", "epochs"])
def test_level_refuses_what_is_no_whole_number_from_1(train_level, place, bad):
    """By an error of its own or of Python's: `assert` is not executed under -O."""
    plan = {"batch_size": (bad, 2), "epochs": (500, bad)}[place]
    try:
        train_level(1.0, *plan)
    except (ValueError, TypeError):
        return
    pytest.fail(f"this level trains with {place} = {bad}: refuse it")


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
    assert_array_equal(Y_true, np.eye(10)[level_3["y_train"]].T)
    dW, db = level_3["gradients"](X, Y_true, level_3["zero_W"], level_3["zero_b"])
    bits = {"one-hot": Y_true.dtype, "dW": dW.dtype, "db": db.dtype}
    assert set(bits.values()) == {np.dtype("float32")}, bits


@pytest.mark.parametrize(
    "factors", [(-1, 1), (1, -1), (1, 0), (0.1, 1), (1.001, 1), (1, 1.01)]
)
def test_check_stops_a_learner_whose_gradients_are_wrong(level_3, factors):
    right = level_3["gradients"]

    def gradients(*arguments):
        return [f * g for f, g in zip(factors, right(*arguments), strict=True)]

    with pytest.raises(AssertionError):
        run_cells(level_3 | {"gradients": gradients}, "level-3-check")


@pytest.mark.parametrize(
    ("cell_id", "planted"),
    [
        ("level-3-columns", {"y_train": np.full(N, 10)}),
        ("level-3-loss", {"zero_b": np.arange(10.0)[:, np.newaxis]}),
    ],
)
def test_check_stops_a_learner_whose_labels_or_loss_are_wrong(
    level_3, cell_id, planted
):
    with pytest.raises(AssertionError):
        run_cells(level_3 | planted, cell_id)


# --- The seconds: from the call to the trained weights ---


def test_keras_s_seconds_include_the_model_and_all_epochs(level_1, clock):
    class Model:
        def fit(self, *data, epochs, **options):
            clock.spend(3 * epochs)
            self.history = {"val_accuracy": [0.5] * epochs}
            return self

    new_model = lambda rate: clock.spend(100, Model())  # noqa: E731
    names = run_cells(level_1 | {"new_model": new_model}, "level-1-fit")
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
    assert clock.now > 200
    assert record["seconds"] == clock.now - 1, "all but one look at the test set"


def test_numpy_s_seconds_are_those_of_sgd_alone(swept, clock):
    """Also in section 7, where each level is trained once more."""
    names, spans = swept.names, iter(range(3, 99))

    def slow(seconds, result=None):
        return lambda *a, **k: clock.spend(seconds, result)

    def sgd(*arguments, **options):
        return clock.spend(next(spans), (None, None, [(2.0, 0.5)] * 20))

    planted = names | {"sgd": sgd, "table": slow(1000), "show": slow(1000)}
    planted["evaluate"] = slow(1000, (2.0, 0.5))
    run_cells(planted, "level-3-sweep", "level-3-best", "level-3-test")
    seconds = [run["seconds"] for run in planted["runs"]]
    assert seconds == list(range(3, 3 + len(seconds)))
    assert planted["numpy_result"]["seconds"] == planted["best"]["seconds"]
    planted["fit_model"] = slow(1000, (None, {"seconds": 7}))
    planted["main"] = slow(1000, (None, {"seconds": 9}))
    run_cells(planted, "comparison-again")
    assert planted["numpy_again"] == next(spans) - 1
