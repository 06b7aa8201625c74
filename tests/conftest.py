"""What the test files share: cells of hw1.ipynb, run by their ids in this process."""

import os
import shutil
import sys
from pathlib import Path

import matplotlib
import nbformat
import numpy as np
import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tools")]
NOTEBOOK = nbformat.read(ROOT / "hw1.ipynb", as_version=4)
SOURCE = {cell.id: cell.source for cell in NOTEBOOK.cells}
matplotlib.use("agg")


@pytest.fixture(scope="session", autouse=True)
def in_the_project():
    """The notebook's cells look for `data` and for `.theano` in this folder."""
    os.chdir(ROOT)


def run_cells(names, *ids):
    """Execute these cells in the namespace `names`, and return it."""
    for cell_id in ids:
        exec(compile(SOURCE[cell_id], f"<cell {cell_id}>", "exec"), names)
    return names


@pytest.fixture(scope="session")
def loaded():
    """What the set-up and the data cells leave, cut down to a thousand images."""
    names = run_cells({}, "setup", "load-data")
    for part, n in {"train": 1030, "valid": 99, "test": 300}.items():
        for letter in "Xy":
            names[f"{letter}_{part}"] = names[f"{letter}_{part}"][:n]
    return names


@pytest.fixture
def names(loaded):
    """A copy of these names, for one test."""
    return loaded.copy()


LEVEL_3 = [
    f"level-3-{part}"
    for part in (
        "import one-hot columns naive softmax gradients loss evaluate train".split()
    )
]


@pytest.fixture
def level_3(names):
    """The names of Level 3 up to `sgd`."""
    return run_cells(names, *LEVEL_3)


def score(images, labels, W, b):
    """Return the mean loss and the accuracy of the weights on images (N, 784)."""
    Z = images @ W + np.ravel(b)
    loss = np.logaddexp.reduce(Z, axis=1) - Z[np.arange(len(labels)), labels]
    return loss.mean(), np.mean(Z.argmax(axis=1) == labels)


def needs(program, packages):
    """Skip where the program is not installed; CI must have it."""
    if not shutil.which(program):
        message = f"{program} is missing (Debian: apt install {packages})"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(message)


def copy_checkout(folder):
    """Return a copy of the repository, its path with a space, and the same .venv."""
    copy = folder / "a copy"
    hidden = (".git", ".venv", ".bench", ".uv", ".home", ".theano", ".*_*")
    left_out = shutil.ignore_patterns(*hidden, "__pycache__", "*.html", "*.zip")
    shutil.copytree(ROOT, copy, ignore=left_out)
    (copy / ".venv").symlink_to(ROOT / ".venv")
    return copy
