"""The three levels on a thousand images, against SGD as the textbook has it."""

import os
import subprocess
import sys

import keras
import numpy as np
import pytest
from conftest import (
    ROOT,
    SECTION_3,
    best_of,
    cells_of,
    numbers,
    run_cells,
    score,
    sets,
    textbook_sgd,
)
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

from data.mnist import load_mnist

FEW_IMAGES = 1e-2  # two of 290: rounding may move them over a border


def test_all_levels_train_on_mnist_shuffled_once(names):
    (X, y), valid, test = load_mnist()
    order = np.random.default_rng(0).permutation(50_000)
    expected = (X[order], y[order]), valid, test
    for (images, labels), (X, y) in zip(sets(names), expected, strict=True):
        assert_array_equal(images, X[: len(images)])
        assert_array_equal(labels, y[: len(labels)])


def test_arithmetic_has_one_thread(names):
    threads = {k: v for k, v in os.environ.items() if k.endswith("_THREADS")}
    wanted = {"OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "TF_NUM_INTRAOP_THREADS"}
    assert threads.keys() >= wanted and set(threads.values()) == {"1"}, threads


@pytest.mark.parametrize("heading", ["5 ", "6 "])
def test_level_runs_after_section_3_alone(heading, names):
    """As Level 1 does in all tests that execute the notebook."""
    quiet = {"show": lambda *shown: None, "table": lambda *shown: None}
    run_cells(names | quiet, *cells_of(heading))


# --- Level 1, Keras ---


@pytest.fixture(scope="module")
def level_1(loaded):
    """The cells that define Level 1."""
    parts = "import", "data", "model", "fit"
    return run_cells(loaded.copy(), *(f"level-1-{part}" for part in parts))


def test_keras_model_is_the_one_of_the_assignment(level_1):
    model = level_1["new_model"](5)
    (layer,) = model.layers
    assert (layer.units, layer.activation.__name__) == (10, "softmax")
    assert model.loss == "categorical_crossentropy"
    assert type(model.optimizer) is keras.optimizers.SGD
    assert (model.optimizer.momentum, model.optimizer.weight_decay) == (0, None)
    assert model.optimizer.learning_rate == 5
    for weights in model.get_weights():
        assert weights.dtype == np.float32 and not weights.any()


def test_keras_learns_from_one_hot_rows(level_1):
    for part in ("train", "valid"):
        assert_array_equal(level_1[f"Y_{part}"], np.eye(10)[level_1[f"y_{part}"]])


def test_keras_takes_the_steps_of_the_textbook(level_1):
    """In one batch, where shuffling makes no difference."""
    train, valid, _ = sets(level_1)
    parameters = 1.5, len(train[0]), 4
    model, history = level_1["fit_model"](*parameters)
    expected = textbook_sgd(train, *parameters)
    W, b = best_of(expected, valid)
    assert_same_weights(model.get_weights()[0], W)
    assert_same_weights(model.get_weights()[1], b)
    accuracies = [score(*valid, *weights)[1] for weights in expected]
    assert_allclose(history["valid_accuracy"], accuracies, rtol=FEW_IMAGES)


def test_keras_keeps_the_best_epoch(level_1):
    """At a rate so large that its last epoch is not its best."""
    _, valid, _ = sets(level_1)
    model, history = level_1["fit_model"](5, 250, 4)
    accuracies = history["valid_accuracy"]
    assert len(accuracies) == 4
    assert max(accuracies) > accuracies[-1], "the last epoch is the best: no test"
    found = score(*valid, *model.get_weights())[1]
    assert found == pytest.approx(max(accuracies), abs=1e-6)


def test_keras_repeats_one_order_in_every_epoch_as_the_text_says():
    seen = []

    def loss(truth, Y):
        seen.append(truth.numpy())
        return keras.ops.mean(Y)

    X = np.arange(1000, dtype=np.float32)[:, np.newaxis]
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd", loss, run_eagerly=True)
    model.fit(X, X, batch_size=250, epochs=2, verbose=0)
    first, second = np.split(np.concatenate(seen), 2)
    assert not np.array_equal(first, X), "it does not shuffle at all"
    assert_array_equal(first, second)


def test_keras_rates_tried_by_hand_are_trained_like_the_level(executed):
    names, shown = executed.names, executed.shown["level-1-rates"]
    parameters = names["keras_parameters"]
    accuracies = dict(zip(shown.column("rate"), shown.column("acc"), strict=True))
    assert len(accuracies) > 2
    for rate in parameters["learning_rate"], max(accuracies):
        _, history = names["fit_model"](**parameters | {"learning_rate": rate})
        best = max(history["valid_accuracy"])
        assert accuracies[rate] == pytest.approx(best, abs=5e-5)


# --- Levels 2 and 3, step by step ---

# At 1e-9 all epochs are equally good, so the first is kept. At 1.5 the best is
# not the last. Of 1,030 images the last batch of 250 has 30, that of 5,000 all.
PARAMETERS = [(1e-9, 250, 3), (1.5, 250, 12), (0.1, 5000, 2), (0.05, 10, 1)]


def assert_same_weights(found, expected):
    """Rounding came to 1e-5 of the largest weight; one wrong step to 1e-2."""
    assert_allclose(found, expected, rtol=0, atol=1e-3 * np.abs(expected).max())


@pytest.mark.parametrize("parameters", PARAMETERS)
@pytest.mark.parametrize("seed", [0, 7])
def test_sgd_takes_the_steps_of_the_textbook(level_3, parameters, seed):
    train, valid, _ = sets(level_3)
    expected = textbook_sgd(train, *parameters, seed)
    X, Y_true, validation = level_3["X"], level_3["Y_true"], level_3["validation"]
    W, b, history = level_3["sgd"](X, Y_true, *validation, *parameters, seed=seed)
    assert_same_weights(W, best_of(expected, valid)[0])
    assert_same_weights(b.ravel(), best_of(expected, valid)[1])
    found = history["valid_loss"], history["valid_accuracy"]
    scores = [score(*valid, *weights) for weights in expected]
    assert_allclose(np.transpose(found), scores, rtol=FEW_IMAGES)
    assert W.dtype == b.dtype == np.float32


@pytest.fixture(scope="module")
def theano_cells():
    parts = "import", "model", "epochs", "main"
    return run_cells({}, *(f"level-2-{part}" for part in parts))


@pytest.mark.parametrize("parameters", PARAMETERS)
def test_theano_takes_the_steps_of_the_textbook(names, theano_cells, parameters):
    train, valid, test = sets(names)
    expected = textbook_sgd(train, *parameters)
    model, history, accuracy = theano_cells["main"](train, valid, test, *parameters)
    W, b = best_of(expected, valid)
    assert_same_weights(model.W.get_value(), W)
    assert_same_weights(model.b.get_value(), b)
    scores = [score(*valid, *weights)[1] for weights in expected]
    assert_allclose(history["valid_accuracy"], scores, rtol=FEW_IMAGES)
    assert accuracy == pytest.approx(score(*test, W, b)[1], rel=FEW_IMAGES)
    assert model.W.dtype == model.b.dtype == "float32"


def test_the_kept_epoch_is_best_on_the_validation_set_only(names):
    """Or the tests above could not see which epoch is kept, and why."""
    train, valid, test = sets(names)
    history = textbook_sgd(train, *PARAMETERS[1])
    W = best_of(history, valid)[0]
    others = history[-1][0], best_of(history, train)[0], best_of(history, test)[0]
    assert all(np.abs(W - other).max() > 0.01 for other in others)


def test_theano_scores_are_probabilities_that_survive_large_scores(theano_cells):
    """The textbook's softmax would give nan, and so would its gradient."""
    X, y = np.float32(1000) * np.eye(784, dtype=np.float32)[:10], np.arange(10)
    model, history, _ = theano_cells["main"](*[(X, y)] * 3, 100.0, 5, 3)
    probabilities = model.score(X).eval()
    assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
    assert np.isfinite(model.W.get_value()).all()
    assert history["valid_accuracy"][-1] == 1


def test_level_2_without_a_compiler_trains_the_same_in_python(
    names, theano_cells, tmp_path
):
    """In a process of its own: Theano decides once, when it is imported.

    A configuration of the user's, for a GPU that is not there, changes nothing.
    """
    (tmp_path / ".theanorc").write_text("[global]\ndevice = cuda\n")
    script = ROOT / "tests" / "level_2_without_compiler.py"
    environment = os.environ | {"PATH": "/nowhere", "HOME": str(tmp_path)}
    command = [sys.executable, script]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert (ran.returncode, ran.stderr) == (0, "")
    _, theano, accuracy = ran.stdout.splitlines()
    assert theano.endswith("without g++")
    compiled = theano_cells["main"](*sets(names), 1.0, 250, 2)[2]
    assert float(accuracy) == pytest.approx(compiled, rel=FEW_IMAGES)


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


@pytest.mark.parametrize("d, K, N", [(784, 10, 100), (3, 2, 1), (5, 4, 7)])
def test_gradients_are_the_differences_of_the_loss(level_3, d, K, N):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(d, N)), rng.integers(K, size=N)
    W, b = rng.normal(size=(d, K)), rng.normal(size=(K, 1))
    dW, db = level_3["gradients"](X, np.eye(K)[:, y], W, b)
    assert dW.shape == W.shape and db.shape == b.shape
    for _ in range(5):
        V, v = 1e-5 * rng.normal(size=(d, K)), 1e-5 * rng.normal(size=(K, 1))
        measured = score(X.T, y, W + V, b + v)[0] - score(X.T, y, W - V, b - v)[0]
        assert 2 * (dW * V).sum() + 2 * (db * v).sum() == pytest.approx(measured, 1e-6)


def test_evaluate_is_the_loss_and_the_accuracy_of_all_images(level_3):
    rng = np.random.default_rng(0)
    W, b = rng.normal(size=(784, 10)), rng.normal(size=(10, 1))
    for images, labels in sets(level_3):
        found = level_3["evaluate"](images.T, level_3["one_hot"](labels), W, b)
        assert_allclose(found, score(images, labels, W, b), rtol=1e-6)


@pytest.mark.parametrize("wrong", [(-1, 1), (1, -1), (1, 0), (0.1, 1)])
def test_learner_who_breaks_the_gradients_is_told_so(level_3, wrong):
    right = level_3["gradients"]

    def broken(*arguments):
        return [factor * g for factor, g in zip(wrong, right(*arguments), strict=True)]

    run_cells(level_3, "level-3-check")
    with pytest.raises(AssertionError, match="gradients"):
        run_cells(level_3 | {"gradients": broken}, "level-3-check")


def test_sgd_finds_the_optimum_of_scikit_learn(level_3):
    """On small digits, of which three pixels do not separate the classes."""
    images, y = load_digits(return_X_y=True)
    X, y = images[::3, [12, 26, 37]], y[::3]
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    optimum = LogisticRegression(C=np.inf, solver="newton-cholesky", tol=1e-12)
    probabilities = optimum.fit(X, y).predict_proba(X)
    expected = -np.log(probabilities[range(len(y)), y]).mean()
    padded = np.pad(X, [(0, 0), (0, 781)]).T
    both = (padded, level_3["one_hot"](y)) * 2
    _, _, history = level_3["sgd"](*both, 4.0, len(y), 1_000)
    assert history["valid_loss"][-1] == pytest.approx(expected, abs=1e-5)


def test_first_try_is_one_epoch_of_the_textbook(executed):
    train, valid, _ = sets(executed.names)
    ((W, b),) = textbook_sgd(train, 1.0, 250, 1)
    found = numbers(executed.shown["level-3-first"].printed)
    assert found == pytest.approx(score(*valid, W, b), abs=1e-3)


# --- The parameters, where they are typed ---


@pytest.mark.parametrize(
    "wrong",
    [
        (0, 250, 20),
        (float("nan"), 250, 20),
        (float("inf"), 250, 20),
        (0.5, 0, 20),
        (0.5, 2.5, 20),
        (0.5, 250, 2),  # cannot tell an epoch from the start-up
        (0.5, 250, 9.5),
    ],
)
def test_parameters_that_cannot_train_are_refused(wrong):
    choose = run_cells({}, *SECTION_3[:2])["choose"]
    assert list(choose(0.5, 250, 20).values()) == [0.5, 250, 20]
    with pytest.raises(AssertionError, match="must"):
        choose(*wrong)


@pytest.mark.parametrize("level", ["keras", "theano", "numpy"])
def test_what_a_level_reports_is_how_it_was_trained(executed, level):
    """The sets are the level's own, and the test accuracy is of the kept epoch."""
    names = executed.names
    _, valid, test = sets(names)
    theano_model, best = names["theano_model"], names["best"]
    weights = {
        "keras": names["keras_model"].get_weights(),
        "theano": (theano_model.W.get_value(), theano_model.b.get_value()),
        "numpy": (best["W"], best["b"]),
    }[level]
    report = names[f"{level}_report"]
    for part, (X, y) in ("valid", valid), ("test", test):
        accuracy = score(X, y, *weights)[1]
        assert report[f"{part}_accuracy"] == pytest.approx(accuracy, abs=1e-6)
    assert report.items() >= names[f"{level}_parameters"].items()


# --- The sweep of Level 3 ---


def test_sweep_tries_every_rate_and_reports_the_best_on_validation(executed):
    names, shown = executed.names, executed.shown["level-3-sweep-table"]
    _, valid, _ = sets(names)
    runs = names["runs"]
    rates = [run["learning_rate"] for run in runs]
    assert {10.0**k for k in range(-10, 3)} <= set(rates) == set(names["Lr"])
    losses, accuracies = zip(
        *(score(*valid, r["W"], r["b"]) for r in runs), strict=True
    )
    assert_allclose([run["loss"] for run in runs], losses, rtol=1e-4)
    assert_allclose([run["accuracy"] for run in runs], accuracies, rtol=1e-4)
    assert_allclose(shown.column("rate"), rates)
    assert_allclose(shown.column("accuracy"), accuracies, atol=1e-4)
    assert_allclose(shown.column("loss"), losses, atol=1e-3, rtol=1e-4)
    assert names["best"] is runs[np.argmax(accuracies)]


def test_best_rate_has_the_highest_accuracy_and_of_equal_ones_is_the_first(executed):
    accuracies = [0.1, 0.2, 0.3, 0.4, 0.6, 0.5, 0.9, 0.2, 0.9, 0.8, 0.1, 0.7, 0.3]
    runs = [
        run | {"accuracy": accuracy, "loss": accuracy}
        for run, accuracy in zip(executed.names["runs"], accuracies, strict=False)
    ]
    names = run_cells(executed.names | {"runs": runs}, "level-3-best")
    assert names["best"] is runs[6]
    assert names["numpy_parameters"]["learning_rate"] == runs[6]["learning_rate"]


@pytest.mark.parametrize("rate", [1e-10, 1e-3, 1])
def test_sweep_trains_as_the_textbook_does(executed, rate):
    names = executed.names
    train, valid, _ = sets(names)
    (run,) = (run for run in names["runs"] if run["learning_rate"] == rate)
    parameters = names["choose"](rate, **names["fixed"]).values()
    W, _ = best_of(textbook_sgd(train, *parameters), valid)
    assert_same_weights(run["W"], W)


def test_plateau_counts_predictions_other_than_those_of_one_full_step(executed):
    names, shown = executed.names, executed.shown["level-3-plateau"]
    (X, y), (x, truth), _ = sets(names)
    error = 0.1 - np.eye(10)[y]
    step = (x @ -(X.T @ error) - error.sum(axis=0)).argmax(axis=1)
    assert numbers(shown.printed) == [pytest.approx(np.mean(step == truth), abs=0.004)]
    runs = {run["learning_rate"]: run for run in names["runs"]}
    for rate, count in zip(shown.column("rate"), shown.column("other"), strict=True):
        run = runs[rate]
        predicted = (x @ run["W"] + run["b"].T).argmax(axis=1)
        # In 32 bits an image on the border may fall to either side.
        assert count == pytest.approx(np.sum(predicted != step), abs=1)


def test_confidence_is_recomputed_from_the_weights(executed):
    names, shown = executed.names, executed.shown["level-3-confidence"]
    X, y = sets(names)[1]
    runs = {run["learning_rate"]: run for run in names["runs"]}
    for row, rate in enumerate(shown.column("rate")):
        Z = (X @ runs[rate]["W"] + runs[rate]["b"].T).astype(float)
        Y = np.exp(Z - np.logaddexp.reduce(Z, axis=1, keepdims=True))
        error = np.abs(Y - np.eye(10)[y]).sum(axis=1)
        misread = Y.argmax(axis=1) != y
        expected = {
            "confidence": Y.max(axis=1).mean(),
            "99%": np.mean(Y.max(axis=1) > 0.99),
            "misread": error[misread].sum() / error.sum(),
        }
        for word, value in expected.items():  # printed as whole percents
            assert shown.column(word)[row] == pytest.approx(value, abs=0.006)


def test_with_huge_weights_the_gradients_are_the_perceptron_s(level_3):
    """It moves by the image, for each image misread, and by nothing for the others."""
    (X, y), _, _ = sets(level_3)
    rng = np.random.default_rng(0)
    W, b = 1e6 * rng.normal(size=(784, 10)), 1e6 * rng.normal(size=(10, 1))
    dW, db = level_3["gradients"](X.T, level_3["one_hot"](y), W, b)
    expected_dW, expected_db = np.zeros((784, 10)), np.zeros((10, 1))
    for image, label, guess in zip(X, y, (X @ W + b.T).argmax(axis=1), strict=True):
        expected_dW[:, guess] += image / len(y)
        expected_dW[:, label] -= image / len(y)
        expected_db[guess] += 1 / len(y)
        expected_db[label] -= 1 / len(y)
    assert_allclose(dW, expected_dW, atol=1e-5)
    assert_allclose(db, expected_db, atol=1e-5)


def test_perceptron_is_trained_and_measured_like_the_sweep(executed):
    names = executed.names
    _, valid, _ = sets(names)
    parameters = names["choose"](1e6, **names["fixed"])
    W, b, _ = names["sgd"](
        names["X"], names["Y_true"], *names["validation"], **parameters
    )
    Z = valid[0] @ W + b.T
    probabilities = np.exp(Z.max(axis=1) - np.logaddexp.reduce(Z, axis=1))
    expected = np.mean(probabilities > 0.999), score(*valid, W, b)[1]
    found = numbers(executed.shown["level-3-perceptron"].printed)
    assert found[-2:] == pytest.approx(expected, abs=1e-3)
