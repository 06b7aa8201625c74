"""The results of the derivation hold; it quotes the notebook; its PDF is current."""

import hashlib
import re

import numpy as np
import pytest
from conftest import ROOT, SOURCE
from numpy.testing import assert_allclose

TEX = (ROOT / "derivation" / "derivation.tex").read_text("utf-8")
X, Y_true = np.array([[1, 2], [1, 0]]), np.eye(3)[:, [0, 2]]  # the worked example
W, b = np.log(2) * np.array([[0, 1, 0], [2, 0, -1]]), np.log(2) * np.eye(3)[:, 2:]


def softmax(Z):
    return np.exp(Z) / np.exp(Z).sum(axis=0)


def loss(W, b, X=X, Y_true=Y_true):
    return -(Y_true * np.log(softmax(W.T @ X + b))).sum() / X.shape[1]


def slopes(f, at):
    """Return the derivatives of f by each entry of an array, from small differences."""
    steps = 1e-6 * np.eye(at.size).reshape(-1, *at.shape)
    slopes = [(f(at + step) - f(at - step)) / 2e-6 for step in steps]
    return np.stack(slopes, axis=-1).reshape(*np.shape(slopes[0]), *at.shape)


z, y_true = (W.T @ X + b)[:, 0], np.array([0.2, 0.5, 0.3])  # any truth that sums to 1
y, error = softmax(z), softmax(W.T @ X + b) - Y_true
by_weights, by_biases = X @ error.T / 2, error @ np.ones((2, 1)) / 2
images, truth = np.array([[1, 2, 0, 5], [1, 0, 4, 3]]), np.eye(3)[:, [0, 1, 2, 0]]
template = 2 / 4 * images[:, [0, 3]].mean(axis=1) - images.mean(axis=1) / 3  # class 0
at_zero = slopes(lambda W: loss(W, 0 * b, images, truth), 0 * W)
RESULTS = {  # the derivative as measured, and as the derivation has it
    "softmax": (slopes(softmax, z), np.diag(y) - np.outer(y, y)),
    "scores": (slopes(lambda z: -y_true @ np.log(softmax(z)), z), y - y_true),
    "weights": (slopes(lambda W: loss(W, b), W), by_weights),
    "biases": (slopes(lambda b: loss(W, b), b), by_biases),
    "weights at zero": (at_zero[:, 0], -template),
}


@pytest.mark.parametrize("result", RESULTS)
def test_derivative_holds(result):
    assert_allclose(*RESULTS[result], atol=1e-8)


def test_worked_example():
    assert_allclose(14 * by_weights, [[-1, 10, -9], [-3, 2, 1]])
    assert_allclose(7 * by_biases, [[-1], [3], [-2]])
    losses = loss(W, b), loss(W - by_weights / 2, b - by_biases / 2)
    assert_allclose(losses, [0.9062, 0.4522], atol=5e-5)


@pytest.mark.parametrize("code", re.findall(r"\\verb\|(.*?)\|", TEX))
def test_notebook_has_quoted_code(code):
    line = rf"^ *(return |.*, )?{re.escape(code)}(,.*|  #.*)?$"
    found = any(re.search(line, source, re.MULTILINE) for source in SOURCE.values())
    assert found, f"the derivation quotes {code}, but no line of the notebook has it"


def test_pdf_has_this_source():
    pdf = (ROOT / "derivation" / "derivation.pdf").read_bytes()
    built_from = re.search(rb"/SourceMD5 \((\w+)\)", pdf)[1].decode().lower()
    assert built_from == hashlib.md5(TEX.encode()).hexdigest(), "run make derivation"
