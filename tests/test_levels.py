"""The three levels: their steps, the optimum, each alone, what they refuse."""

import re
import subprocess
import sys

import numpy as np
import pytest
from conftest import SAID, code_of, scores, textbook
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression


@pytest.mark.parametrize("size", [1, 100, 10_000])
def test_softmax_and_loss_are_those_of_the_definition(size, kernel):
    """By logarithms that numpy adds; `exp` of 10,000 would overflow."""
    rng = np.random.default_rng(0)
    given = {"Z": size * rng.normal(size=(10, 99)), "y": rng.integers(10, size=99)}
    Y, loss = kernel(get="softmax(Z), cross_entropy(Z, one_hot(y))", **given)
    logs = given["Z"] - np.logaddexp.reduce(given["Z"], axis=0)
    assert_allclose(Y, np.exp(logs), atol=1e-10)
    assert_allclose(loss, -logs[given["y"], range(99)].mean(), rtol=1e-9)


def in_64_bits(source):
    return source.replace("float32", "float64")


# At a rate of 1e-9 all epochs are equally good, and the first is kept; at 1 the best is
# not the last. Of 930 images, 180 are left for the last batch of 250.
PARAMETERS = [(1e-9, 250, 3, 0), (1.0, 250, 8, 1), (0.1, 5000, 2, 2), (0.05, 1, 1, 3)]


def test_three_levels_take_the_steps_of_the_textbook(kernel):
    """In 64 bits; so Keras, too, gets its batches in the order of the others."""
    steps = "set-type level-3-one-hot few-images level-3-train level-1-data"
    steps += " level-1-model level-2-model level-2-main comparison-weights"
    get = "weights_after(1000, 1 / 128), [both(*each) for each in parameters], data"
    given = {"kind": "float64", "parameters": PARAMETERS}
    try:
        weights, pairs, data = kernel(steps, get=get, edit=in_64_bits, **given)
    finally:
        kernel("set-type", get="None", kind="float32")
    close = {"rtol": 1e-9, "atol": 1e-12}
    train, valid, test = data
    whole = kernel(get="X_train[:1000].astype(float), y_train[:1000]")
    expected = textbook(whole, valid, 1 / 128, 250, 1)[0]
    assert list(weights) == ["Keras", "Theano", "numpy"]
    for found in weights.values():
        assert_allclose(found, expected, **close)
    for parameters, (of_sgd, of_main) in zip(PARAMETERS, pairs, strict=True):
        W, b, history = textbook(train, valid, *parameters)
        for found in (of_sgd, of_main):
            assert_allclose(found[0], W, **close)
            assert_allclose(found[1].ravel(), b, **close)
        assert_allclose([row[:2] for row in of_sgd[2]], history, **close)
        assert_allclose([row[0] for row in of_main[2]], [row[1] for row in history])
        assert_allclose(of_main[3], scores(*test, W, b)[1])


def test_sgd_converges_to_the_optimum_of_scikit_learn(kernel):
    """On small digits, of which three pixels do not separate the classes."""
    images, labels = load_digits(return_X_y=True)
    X, labels = images[::3, [12, 26, 37]], labels[::3]
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    optimum = LogisticRegression(C=np.inf, solver="newton-cholesky", tol=1e-12)
    probabilities = optimum.fit(X, labels).predict_proba(X)
    expected = -np.log(probabilities[range(len(X)), labels]).mean()
    get = "sgd(X.T, one_hot(y), X.T, one_hot(y), 4.0, len(y), 3_000)[2][-1][0]"
    given = {"X": X, "y": labels, "edit": lambda s: in_64_bits(s).replace("784", "3")}
    found = kernel("level-3-train", get=get, **given)
    assert found == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("heading", "weights", "whole"),
    [("5 ", *["regression.W.get_value()"] * 2), ("6 ", "W", "runs[best][3]")],
)
def test_level_alone_finds_the_same_bits(heading, weights, whole, notebook, kernel):
    """It needs section 3 only; of the rates three will do, the best among them."""
    cells = code_of(notebook, "3 Before") + code_of(notebook, heading)
    sources = [cell.replace("range(-10, 3)", "range(-2, 1)") for cell in cells]
    found = kernel("run-alone", get=f"eval({weights!r}, alone)", sources=sources)
    assert_array_equal(found, kernel(get=whole))


@pytest.mark.parametrize("missing", [
    "import os; os.environ['PATH'] = '/nowhere'",
    "import sysconfig; sysconfig.get_path = lambda name: '/nowhere'",
], ids=["g++", "headers"])  # fmt: skip
def test_level_2_without_a_compiler_runs_in_python(missing, notebook, kernel):
    cells = code_of(notebook, "3 Before") + code_of(notebook, "5 ")
    program = "\n\n".join([missing, *cells]).replace("250, 20", "250, 2")
    command = [sys.executable, "-c", program]
    run = subprocess.run(command, cwd=kernel.folder, capture_output=True, text=True)
    assert (run.returncode, run.stderr) == (0, "")
    assert "as: Python, without g++" in run.stdout
    (found,) = re.findall(r"test accuracy ([\d.]+)%", run.stdout)
    # Its sums round otherwise: a few of 10,000 images on a border.
    compiled = 100 * kernel(get="main(*data, 1.0, 250, 2)[2]")
    assert float(found) == pytest.approx(compiled, abs=0.05)


@pytest.mark.parametrize(("call", "words"), SAID["refused"].items())
def test_unfit_input_is_refused_by_its_value(call, words, kernel):
    for level in (2, 3):
        with pytest.raises(ValueError, match=words):
            kernel("call", get=call, level=level)
