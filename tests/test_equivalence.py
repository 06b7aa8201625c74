"""The three levels are one model: in 64 bits, their weights agree to rounding."""

from copy import deepcopy
from itertools import combinations

import numpy as np
import pytest
from conftest import ask, by_id, kernel, rounding_bound, section
from nbformat.v4 import new_code_cell

from data.mnist import load_mnist

FLOAT64 = """
import keras

keras.config.set_floatx("float64")
"""
# Of 1,077 images a batch size of 250 leaves 77 for the last batch.
FEW = """
X_train, y_train = X_train[:1077].astype("float64"), y_train[:1077]
X_valid, y_valid = X_valid[:500].astype("float64"), y_valid[:500]
"""
LEVELS = """
X, Y, validation = X_train.T, one_hot(y_train), (X_valid.T, one_hot(y_valid))
"""


@pytest.fixture(scope="module")
def levels(notebook):
    """A kernel with `weights_after` of section 7, all its numbers 64 bits wide."""
    level_1 = [f"level-1-{name}" for name in ("parameters", "data", "model")]
    level_2 = [f"level-2-{name}" for name in ("import", "data", "model", "main")]
    level_3 = ["one-hot", "softmax", "gradients", "loss", "evaluate", "train"]
    ids = level_1 + level_2 + [f"level-3-{name}" for name in level_3]
    cells = [
        new_code_cell(FLOAT64),
        *section(notebook, "3 Before", "code"),
        new_code_cell(FEW),
        *by_id(notebook, *ids),
        new_code_cell(LEVELS),
        *by_id(notebook, "comparison-weights"),
    ]
    cells = deepcopy(cells)  # the notebook is not ours
    for cell in cells:
        cell.source = cell.source.replace("float32", "float64")
    with kernel(cells) as client:
        yield client


@pytest.mark.parametrize(("n", "steps"), [(250, 1), (1077, 5)])
def test_weights_agree_to_rounding(n, steps, levels):
    rate = 0.01
    expression = f"{{k: w.tolist() for k, w in weights_after({n}, {rate}).items()}}"
    weights = {name: np.array(w) for name, w in ask(levels, expression).items()}
    bound = rounding_bound(load_mnist()[0][0][:n].T, rate, 250, steps)
    assert np.linalg.norm(weights["numpy"]) > 1e6 * bound  # or the bound says nothing
    for one, other in combinations(weights, 2):
        difference = np.linalg.norm(weights[one] - weights[other])
        print(f"{one} and {other}, {steps} steps: {difference:.0e} of {bound:.0e}")
        assert difference <= bound
