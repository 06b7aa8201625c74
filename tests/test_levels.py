"""Each level against SGD as textbooks have it: weights, accuracies, times."""

import contextlib
import io
from types import SimpleNamespace

import numpy as np
import pytest
from cells import capture, numbers
from common import LEVELS
from conftest import FEW
from textbook import NEAR, assert_same, probabilities, score, sets, textbook_sgd

N = FEW[0]


def weights_of(model):
    """Return W and b of a model of Level 1 or 2, or of a run of Level 3."""
    if isinstance(model, dict):
        return [model["W"], model["b"]]
    if hasattr(model, "get_weights"):
        return model.get_weights()
    return [model.W.get_value(), model.b.get_value()]


def train(level, names, *rule):
    """Train a level; return its weights (W, b) and its last validation accuracy."""
    if level == 1:
        model, _ = names["train_keras"](*rule)
        return weights_of(model), model.history.history["val_accuracy"][-1]
    if level == 2:
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            model, *_ = names["main"](*rule)
        return weights_of(model), numbers(printed.getvalue())[0] / 100
    W, b, history = names["sgd"](names["train_set"], names["valid_set"], *rule)
    return [W, b], history["accuracy"][-1]


def test_training_set_is_shuffled(section_3):
    shuffled, *others = sets(section_3.names)
    original, *originals = section_3.names["few"]
    for found, expected in zip(sum(others, ()), sum(originals, ()), strict=True):
        assert np.array_equal(found, expected), "other sets than the loader's"
    found, expected = (sorted(map(bytes, np.c_[each])) for each in (shuffled, original))
    assert found == expected, "an image is lost, or has lost its label"
    assert np.mean(shuffled[1] == original[1]) < 0.2, "it is not shuffled"


@pytest.mark.parametrize("rule", [(1.0, N, 4), (0.01, 250, 2)])
@pytest.mark.parametrize("level", LEVELS)
def test_takes_textbook_steps(level, rule, arrays):
    """In one batch, or on one image alone, where its order makes no difference.

    The validation labels are wrong, so that no other set has that accuracy.
    """
    names = arrays | {"y_valid": (arrays["y_valid"] + 1) % 10}
    if rule[1] < N:
        nine = np.full(N, names["y_train"].argmax())
        names |= {f"{letter}_train": names[f"{letter}_train"][nine] for letter in "Xy"}
    capture(names, *LEVELS[level])
    weights, accuracy = train(level, names, *rule)
    expected = textbook_sgd(sets(names)[0], *rule)
    assert_same(weights, expected)
    right = pytest.approx(score(*sets(names)[1], *expected)[1], abs=NEAR)
    assert accuracy == right, "not the validation accuracy after the last epoch"


# The model that each level leaves, and its accuracies in the order that it prints them.
LEFT = {
    1: ("keras_model", ["training", "validation", "seconds", "test"]),
    2: ("theano_model", ["validation", "test", "compiling", "seconds"]),
    3: ("best", ["rate", "validation", "rate", "test"]),
}


@pytest.mark.parametrize("level", LEVELS)
def test_level_prints_own_scores(level, request):
    done = request.getfixturevalue(f"level_{level}")
    model, order = LEFT[level]
    weights, (training, valid, test) = weights_of(done.names[model]), sets(done.names)
    if level == 1:  # where a sigmoid would be trained identically
        predicted = done.names[model].predict(test[0], verbose=0)
        expected = probabilities(test[0], *weights)
        assert np.allclose(predicted, expected, atol=1e-4), "predicts no softmax"
    else:  # Keras has an order of its own
        chosen = done.names["theano_parameters" if level == 2 else "best"]
        rule = [chosen[key] for key in ("learning_rate", "batch_size", "epochs")]
        assert_same(weights, textbook_sgd(training, *rule))
    cells = [f"level-{level}-{part}" for part in ("train", "best", "test")]
    said = numbers("".join(done.printed.get(cell_id, "") for cell_id in cells))
    said = dict(zip(order, said, strict=True))
    for name, data in ("training", training), ("validation", valid), ("test", test):
        right = pytest.approx(100 * score(*data, *weights)[1], abs=100 * NEAR)
        assert said.get(name, right) == right, f"not the {name} accuracy"
    assert said.get("seconds", 1) > 0, "the run time is zero"


def test_theano_times_are_apart(arrays, monkeypatch):
    """Compiling a function counts as 100 events, and calling it as one."""
    names, events = arrays.copy(), []
    capture(names, *LEVELS[2])
    names["time"] = SimpleNamespace(perf_counter=lambda: len(events))
    compiled = names["theano"].function

    def function(*args, **options):
        events.extend(range(100))
        call = compiled(*args, **options)

        def counted(*values):
            events.append(1)
            return call(*values)

        return counted

    monkeypatch.setattr(names["theano"], "function", function)
    *_, compiling, training = names["main"](1.0, 500, 2)
    assert compiling == 200, "not the time of compiling two functions"
    assert training == 2 * (3 + 1), "not that of three steps and a validation, twice"


def test_check_stops_wrong_gradients(level_3):
    def gradients(*arguments):
        dW, db = level_3.names["gradients"](*arguments)
        return dW, 1.01 * db

    with pytest.raises(AssertionError, match="measured"):
        capture(level_3.names | {"gradients": gradients}, "level-3-check")
