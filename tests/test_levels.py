"""The three levels on a thousand images, against SGD as the textbook has it."""

import numpy as np
import pytest
from common import run_cells
from conftest import FEW, numbers, show
from numpy.testing import assert_allclose, assert_array_equal
from oracles import assert_same, probabilities, score, sets, textbook_sgd

from data.mnist import load_mnist

N = FEW[0]


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
    original, *originals = [
        (X[:n], y[:n]) for (X, y), n in zip(load_mnist(), FEW, strict=True)
    ]
    for found, expected in zip(others, originals, strict=True):
        assert_array_equal(found[0], expected[0])
        assert_array_equal(found[1], expected[1])
    pairs = [
        sorted(zip(map(bytes, X), y, strict=True)) for X, y in (shuffled, original)
    ]
    assert pairs[0] == pairs[1], "an image is lost, or has lost its label"
    assert np.mean(shuffled[1] == original[1]) < 0.2, "it is not shuffled"


@pytest.mark.parametrize("rule", [(1.0, 2000, 2), (0.5, 250, 12)])
@pytest.mark.parametrize("level", [2, 3])
def test_takes_textbook_steps(level, rule, executed):
    names = executed.levels[level]
    weights, accuracy = train(level, names, *rule)
    expected = textbook_sgd(sets(names)[0], *rule)
    assert_same(weights, expected)
    if accuracy is not None:
        assert accuracy == pytest.approx(score(*sets(names)[1], *expected)[1], abs=0.01)


@pytest.mark.parametrize("rule", [(0.5, N, 20), (0.01, 250, 2)])
def test_keras_takes_textbook_steps(rule, executed):
    """In one batch, or on one image alone, where its order makes no difference.

    The validation labels are wrong, so that no other set has that accuracy.
    """
    names = dict(executed.section_3)
    names["y_valid"] = (names["y_valid"] + 1) % 10
    if rule[1] < N:
        nine = np.full(N, names["y_train"].argmax())
        names |= {f"{letter}_train": names[f"{letter}_train"][nine] for letter in "Xy"}
    weights, accuracy = train(1, run_cells(names, "level-1-model"), *rule)
    expected = textbook_sgd(sets(names)[0], *rule)
    assert_same(weights, expected)
    assert accuracy == pytest.approx(score(*sets(names)[1], *expected)[1], abs=0.01)


@pytest.mark.parametrize("level", [1, 2, 3])
def test_level_reports_own_score(level, executed):
    name = {1: "keras", 2: "theano", 3: "numpy"}[level]
    weights, (training, _, test) = final_weights(executed)[level], sets(executed.names)
    rule = executed.names[f"{name}_rule"]
    if level > 1:  # Keras has an order of its own
        rule = {"learning_rate": executed.names["best"]["rate"], **rule}
        assert_same(weights, textbook_sgd(training, **rule))
    accuracy = executed.names[f"{name}_test"]
    assert accuracy == pytest.approx(score(*test, *weights)[1], abs=0.01)
    said = executed.printed["level-2-train" if level == 2 else f"level-{level}-test"]
    assert np.isclose(numbers(said), 100 * accuracy, atol=0.06).any(), said


def test_keras_predicts_by_softmax(executed):
    images = sets(executed.names)[1][0]
    predicted = executed.names["keras_model"].predict(images, verbose=0)
    expected = probabilities(images, *final_weights(executed)[1])
    assert_allclose(predicted, expected, atol=1e-4)


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

    with pytest.raises(AssertionError, match="gradients"):
        show(executed.names | {"gradients": gradients}, "level-3-check")


def test_first_epoch_is_printed(executed):
    names = executed.levels[3]
    weights = textbook_sgd(sets(names)[0], 1.0, names["numpy_rule"]["batch_size"], 1)
    loss, accuracy = score(*sets(names)[1], *weights)
    expected = pytest.approx([loss, 100 * accuracy], abs=0.8)
    assert numbers(executed.printed["level-3-first"]) == expected
