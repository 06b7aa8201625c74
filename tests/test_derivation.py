"""The results of the derivation hold; it quotes the notebook; its PDF is current."""

import hashlib
import re

import numpy as np
import pytest
from conftest import ROOT, SOURCE
from numpy.testing import assert_allclose

TEX = (ROOT / "derivation" / "derivation.tex").read_text("utf-8")
X, labels = np.array([[1, 2, 0, 5], [1, 0, 4, 3]]), [0, 2, 1, 0]
Y_true, b = np.eye(3)[:, labels], np.array([[0.5], [0], [-1]])
W = np.array([[0, 0.3, -0.2], [0.5, 0.1, 0.4]])


def softmax(Z):
    return np.exp(Z) / np.exp(Z).sum(axis=0)


def loss(W, b):
    return -(Y_true * np.log(softmax(W.T @ X + b))).sum() / 4


def slopes(f, at):
    """Return the derivatives of f by each entry of an array, from small differences."""
    steps = 1e-6 * np.eye(at.size).reshape(-1, *at.shape)
    slopes = [(f(at + step) - f(at - step)) / 2e-6 for step in steps]
    return np.stack(slopes, axis=-1).reshape(*np.shape(slopes[0]), *at.shape)


z, y_true = (W.T @ X + b)[:, 0], np.array([0.2, 0.5, 0.3])  # any truth that sums to 1
y, error = softmax(z), softmax(W.T @ X + b) - Y_true
by_z = slopes(lambda z: -y_true @ np.log(softmax(z)), z)
by_w, by_b = slopes(lambda W: loss(W, b), W), slopes(lambda b: loss(W, b), b)
at_zero = slopes(lambda W: loss(W, 0 * b), 0 * W)[:, 0]
template = X.mean(axis=1) / 3 - 2 / 4 * X[:, [0, 3]].mean(axis=1)  # class 0 has two
RESULTS = {  # as the derivation has it: the derivative as measured, the same in numpy
    r"\pd{y_j}{z_k}=y_j(\delta_{jk}-y_k)": (
        slopes(softmax, z),
        np.diag(y) - np.outer(y, y),
    ),
    r"=y_k-y'_k": (by_z, y - y_true),
    r"\pd{\Loss}{\W}=\frac1N\X(\Y-\Y')\T": (by_w, X @ error.T / 4),
    r"\pd{\Loss}{\bias}=\frac1N(\Y-\Y')\one_N": (by_b, error @ np.ones((4, 1)) / 4),
    r"=\frac1K\bar\x-\frac{N_j}{N}\bar\x_j": (at_zero, template),
}


@pytest.mark.parametrize("formula", RESULTS)
def test_result_holds(formula):
    assert formula in re.sub(r"[\s&]|\\,", "", TEX), "change the proof, too"
    assert_allclose(*RESULTS[formula], atol=1e-8)


@pytest.mark.parametrize("code", re.findall(r"\\verb\|(.*?)\|", TEX))
def test_notebook_has_quoted_code(code):
    line = rf"^ *(return |.*, )?{re.escape(code)}(,.*|  #.*)?$"
    found = any(re.search(line, source, re.MULTILINE) for source in SOURCE.values())
    assert found, f"the derivation quotes {code}, but no line of the notebook has it"


def test_pdf_has_this_source():
    pdf = (ROOT / "derivation" / "derivation.pdf").read_bytes()
    built_from = re.search(rb"/SourceMD5 \((\w+)\)", pdf)[1].decode().lower()
    assert built_from == hashlib.md5(TEX.encode()).hexdigest(), "run make derivation"
