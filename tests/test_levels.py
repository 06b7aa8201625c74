"""The three levels on a thousand images, against SGD as the textbook has it."""

import os
import re
import subprocess
import sys

import keras
import numpy as np
import pytest
from conftest import (
    ROOT,
    best_of,
    cells_of,
    run_cells,
    score,
    sets,
    textbook_sgd,
)
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

from data.mnist import load_mnist


def test_all_levels_train_on_mnist_shuffled_once(names):
    (X, y), valid, test = load_mnist()
    order = np.random.default_rng(0).permutation(50_000)
    expected = (X[order], y[order]), valid, test
    for (images, labels), (X, y) in zip(sets(names), expected, strict=True):
        assert_array_equal(images, X[: len(images)])
        assert_array_equal(labels, y[: len(labels)])


def test_notebook_run_in_another_folder_says_where_it_looked(
    names, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match=re.escape(str(tmp_path))):
        run_cells(names, "load-data")


@pytest.mark.parametrize("heading", ["5 ", "6 "])
def test_level_runs_after_section_3_alone(heading, names):
    """As Level 1 does in all tests that execute the notebook."""
    run_cells(names | {"show": lambda figure, alt: None}, *cells_of(heading))


# --- Level 1, Keras ---

KERAS = [
    "level-1-data",
    "level-1-model",
    "level-1-compile",
    "level-1-callbacks",
    "level-1-train",
    "level-1-time",
    "level-1-evaluate",
    "level-1-report",
]


@pytest.fixture(scope="module")
def level_1(loaded):
    """Level 1 at a rate so large that its last epoch is not its best."""
    names = run_cells(loaded.copy(), "level-1-parameters")
    return run_cells(names | {"learning_rate": 5}, *KERAS)


def test_keras_model_is_the_one_of_the_assignment(level_1):
    model = level_1["model"]
    (layer,) = model.layers
    assert (layer.units, layer.activation.__name__) == (10, "softmax")
    assert model.loss == "categorical_crossentropy"
    assert type(model.optimizer) is keras.optimizers.SGD
    assert (model.optimizer.momentum, model.optimizer.weight_decay) == (0, None)
    assert model.optimizer.learning_rate == 5
    assert {weights.dtype for weights in model.weights} == {"float32"}


def test_keras_learns_from_one_hot_rows(level_1):
    for part in ("train", "valid"):
        expected = np.eye(10)[level_1[f"y_{part}"]]
        assert_array_equal(level_1[f"Y_{part}"], expected)


def test_keras_keeps_the_best_epoch_and_reports_its_scores(level_1):
    _, valid, test = sets(level_1)
    weights, report = level_1["model"].get_weights(), level_1["keras_report"]
    accuracies = level_1["history"]["val_accuracy"]
    assert len(accuracies) == report["epochs"] == level_1["epochs"]
    assert max(accuracies) > accuracies[-1], (
        "the last epoch is the best: no test"
    )
    assert report["valid_accuracy"] == max(accuracies)
    assert score(*valid, *weights)[1] == pytest.approx(
        max(accuracies), abs=1e-6
    )
    assert report["test_accuracy"] == score(*test, *weights)[1]
    assert report["learning_rate"] == 5
    assert report["batch_size"] == level_1["batch_size"]


def test_keras_rates_tried_by_hand_are_trained_like_the_level(
    executed, monkeypatch, capsys
):
    """From zero weights, with its seed: three epochs tell."""
    trials, clone_model = [], keras.models.clone_model

    def remember(model):
        trials.append(clone_model(model))
        return trials[-1]

    monkeypatch.setattr(keras.models, "clone_model", remember)
    batch_size = executed.names["keras_report"]["batch_size"]
    few = {"epochs": 3, "batch_size": batch_size}
    run_cells(executed.names | few, "level-1-rates")
    rates = [float(trial.optimizer.learning_rate) for trial in trials]
    assert rates == pytest.approx([0.1, 0.5, 1.0])
    level = executed.names["model"].history.history
    losses = trials[1].history.history["val_loss"]
    # The same steps: what differs is rounding. Another order differs by 1e-3.
    assert losses == pytest.approx(level["val_loss"][:3], rel=1e-5)
    _, *rows = capsys.readouterr().out.splitlines()
    for trial, row in zip(trials, rows, strict=True):
        best = max(trial.history.history["val_accuracy"])
        rate = float(trial.optimizer.learning_rate)
        assert row.split() == [f"{rate:.1f}", f"{best:.2%}"]


def test_keras_repeats_one_order_of_the_images_as_the_comparison_says():
    """At a rate of 0 the running mean of the loss tells the images' order."""
    seen = {0: [], 1: []}

    class Watch(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs):
            self.epoch = epoch

        def on_train_batch_end(self, batch, logs):
            seen[self.epoch].append(logs["loss"])

    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.0), "mse")
    X = np.arange(50.0)[:, np.newaxis]
    model.fit(X, X, batch_size=1, epochs=2, callbacks=[Watch()], verbose=0)
    assert seen[0] == seen[1] and len(set(seen[0])) > 25


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
    validation = level_3["validation"]
    sgd, X, Y_true = level_3["sgd"], level_3["X"], level_3["Y_true"]
    W, b, history = sgd(X, Y_true, *validation, *parameters, seed)
    assert_same_weights(W, best_of(expected, valid)[0])
    assert_same_weights(b.ravel(), best_of(expected, valid)[1])
    scores = [score(*valid, *weights) for weights in expected]
    assert_allclose([row[:2] for row in history], scores, rtol=1e-2)
    assert W.dtype == b.dtype == np.float32


@pytest.fixture(scope="module")
def theano_cells():
    parts = "import", "model", "compile", "main"
    return run_cells({}, *(f"level-2-{part}" for part in parts))


@pytest.mark.parametrize("parameters", PARAMETERS)
def test_theano_takes_the_steps_of_the_textbook(
    names, theano_cells, parameters
):
    train, valid, test = sets(names)
    expected = textbook_sgd(train, *parameters)
    model, history, accuracy = theano_cells["main"](
        train, valid, test, *parameters
    )
    W, b = best_of(expected, valid)
    assert_same_weights(model.W.get_value(), W)
    assert_same_weights(model.b.get_value(), b)
    scores = [score(*valid, *weights)[1] for weights in expected]
    assert_allclose([row[0] for row in history], scores, rtol=1e-2)
    assert accuracy == pytest.approx(score(*test, W, b)[1], rel=1e-2)
    assert model.W.dtype == model.b.dtype == "float32"


def test_the_kept_epoch_is_best_on_the_validation_set_only(names):
    """Or the tests above could not see which epoch is kept, and why."""
    train, valid, test = sets(names)
    history = textbook_sgd(train, *PARAMETERS[1])
    W = best_of(history, valid)[0]
    others = (
        history[-1][0],
        best_of(history, train)[0],
        best_of(history, test)[0],
    )
    assert all(np.abs(W - other).max() > 0.01 for other in others)


def test_theano_scores_are_probabilities_that_survive_large_scores(
    theano_cells,
):
    """The textbook's softmax would give nan, and so would its gradient."""
    X, y = np.float32(1000) * np.eye(784, dtype=np.float32)[:10], np.arange(10)
    model, history, _ = theano_cells["main"](*[(X, y)] * 3, 100.0, 5, 3)
    probabilities = model.score(X).eval()
    assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
    assert np.isfinite(model.W.get_value()).all() and history[-1][0] == 1


def test_theano_reports_the_best_epoch(executed):
    _, valid, test = sets(executed.names)
    regression, report = (
        executed.names["regression"],
        executed.names["theano_report"],
    )
    weights = regression.W.get_value(), regression.b.get_value()
    for part, (X, y) in ("valid", valid), ("test", test):
        accuracy = score(X, y, *weights)[1]
        assert report[f"{part}_accuracy"] == pytest.approx(accuracy, abs=1e-6)
    for name, value in run_cells({}, "level-2-parameters").items():
        assert name == "__builtins__" or report[name] == value


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
    ran = subprocess.run(
        command, env=environment, capture_output=True, text=True
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    _, theano, accuracy = ran.stdout.splitlines()
    assert theano.endswith("without g++")
    compiled = theano_cells["main"](*sets(names), 1.0, 250, 2)[2]
    assert float(accuracy) == pytest.approx(compiled, rel=1e-2)


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
        measured = (
            score(X.T, y, W + V, b + v)[0] - score(X.T, y, W - V, b - v)[0]
        )
        assert 2 * (dW * V).sum() + 2 * (db * v).sum() == pytest.approx(
            measured, 1e-6
        )


def test_arithmetic_of_level_3_is_in_32_bits(level_3):
    zero_W, zero_b = level_3["zero_W"], level_3["zero_b"]
    found = level_3["gradients"](
        level_3["X"], level_3["Y_true"], zero_W, zero_b
    )
    arrays = [*found, level_3["X"], level_3["Y_true"], *level_3["validation"]]
    assert {array.dtype for array in arrays} == {np.dtype(np.float32)}


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
        return [
            factor * g
            for factor, g in zip(wrong, right(*arguments), strict=True)
        ]

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
    assert history[-1][0] == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(
    "parameters", [(0, 10, 1), (np.nan, 10, 1), (0.1, 0, 1), (0.1, 10, 0)]
)
def test_parameters_that_train_nothing_are_refused(
    level_3, theano_cells, parameters
):
    X, Y_true, validation = (
        level_3["X"],
        level_3["Y_true"],
        level_3["validation"],
    )
    with pytest.raises(ValueError, match="must be positive"):
        level_3["sgd"](X, Y_true, *validation, *parameters)
    with pytest.raises(ValueError, match="must be positive"):
        theano_cells["main"](*sets(level_3), *parameters)


# --- The sweep of Level 3 ---


def test_sweep_tries_every_rate_and_reports_the_best_on_validation(executed):
    names = executed.names
    _, valid, test = sets(names)
    assert_allclose(names["Lr"], [10.0**k for k in range(-10, 3)])
    assert_allclose([run.learning_rate for run in names["runs"]], names["Lr"])
    scores = [score(*valid, run.W, run.b) for run in names["runs"]]
    found = [(run.loss, run.accuracy) for run in names["runs"]]
    assert_allclose(found, scores, rtol=1e-4)
    best = names["runs"][np.argmax([accuracy for _, accuracy in scores])]
    assert_array_equal(names["best_W"], best.W)
    report = names["numpy_report"]
    assert report["learning_rate"] == best.learning_rate
    assert report["valid_accuracy"] == best.accuracy
    assert report["test_accuracy"] == score(*test, best.W, best.b)[1]
    for name in "batch_size", "epochs":
        assert report[name] == names[name]


def test_best_rate_has_the_highest_accuracy_and_of_equal_ones_is_the_first(
    executed,
):
    accuracies = [
        0.1,
        0.2,
        0.3,
        0.4,
        0.6,
        0.5,
        0.9,
        0.2,
        0.9,
        0.8,
        0.1,
        0.7,
        0.3,
    ]
    runs = [
        run._replace(accuracy=accuracy, loss=accuracy)
        for run, accuracy in zip(
            executed.names["runs"], accuracies, strict=True
        )
    ]
    names = run_cells(executed.names | {"runs": runs}, "level-3-best")
    assert names["best"] is runs[6] and names["best_W"] is runs[6].W


@pytest.mark.parametrize("exponent", [-10, -3, 0])
def test_sweep_trains_as_the_textbook_does(executed, exponent):
    train, valid, _ = sets(executed.names)
    run = executed.names["runs"][exponent + 10]
    report = executed.names["numpy_report"]
    parameters = 10.0**exponent, report["batch_size"], report["epochs"]
    W, _ = best_of(textbook_sgd(train, *parameters), valid)
    assert_same_weights(run.W, W)


def test_sweep_prints_what_it_found(executed):
    _, *rows = executed.printed["level-3-sweep"].splitlines()
    for run, row in zip(executed.names["runs"], rows, strict=True):
        rate, accuracy, loss, seconds = row.split()
        assert float(rate) == pytest.approx(run.learning_rate)
        assert accuracy == f"{run.accuracy:.2%}"
        assert loss == f"{run.loss:.3f}"
        assert seconds == f"{run.seconds:.2f}"


def test_plateau_counts_predictions_other_than_those_of_one_full_step(executed):
    names = executed.names
    (X, y), (x, _), _ = sets(names)
    error = 0.1 - np.eye(10)[y]
    step = x @ -(X.T @ error) - error.sum(axis=0)
    _, *rows = executed.printed["level-3-plateau"].splitlines()
    for run, row in zip(names["runs"][:8], rows, strict=True):
        predicted = (x @ run.W + run.b.T).argmax(axis=1)
        differ = np.sum(predicted != step.argmax(axis=1))
        # In 32 bits an image on the border may fall to either side.
        assert int(row.split()[0]) == pytest.approx(differ, abs=1)
        assert float(row.split()[-1]) == pytest.approx(run.learning_rate)


def test_confidence_is_recomputed_from_the_weights(executed):
    names = executed.names
    X, y = sets(names)[1]
    _, *rows = executed.printed["level-3-confidence"].splitlines()
    for run, row in zip(names["runs"][-6:], rows, strict=True):
        Z = (X @ run.W + run.b.T).astype(float)
        Y = np.exp(Z - np.logaddexp.reduce(Z, axis=1, keepdims=True))
        error = np.abs(Y - np.eye(10)[y]).sum(axis=1)
        misread = Y.argmax(axis=1) != y
        expected = [
            100 * Y.max(axis=1).mean(),
            100 * np.mean(Y.max(axis=1) > 0.99),
            100 * error[misread].sum() / error.sum(),
        ]
        rate, *found = (float(each.rstrip("%")) for each in row.split())
        assert rate == pytest.approx(run.learning_rate)
        assert found == pytest.approx(
            expected, abs=0.6
        )  # printed as whole percents
