"""What the test files share: cells of hw1.ipynb, run by their ids, in here."""

import contextlib
import io
import itertools
import linecache
import os
import re
import shutil
import sys
import time
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tools")]
NOTEBOOK = nbformat.read(ROOT / "hw1.ipynb", as_version=4)
CODE = [cell for cell in NOTEBOOK.cells if cell.cell_type == "code"]
TEXT = [cell for cell in NOTEBOOK.cells if cell.cell_type == "markdown"]
SOURCE = {cell.id: cell.source for cell in NOTEBOOK.cells}
matplotlib.use("agg")


@pytest.fixture(scope="session", autouse=True)
def in_the_project():
    """The cells look for the folders data and .theano where they run."""
    os.chdir(ROOT)
    (ROOT / ".theano").mkdir(exist_ok=True)


def pytest_collection_modifyitems(items):
    """Start with the slow tests: the two processes of `make test` then end together."""
    items.sort(key=lambda item: not item.get_closest_marker("slow"))


def needs(program, packages):
    """Skip where the program is not installed; CI must have it."""
    if not shutil.which(program):
        message = f"{program} is missing (Debian: apt install {packages})"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(message)


# --- Cells ---


def run_cells(names, *ids):
    """Execute these cells in the namespace `names`, and return it."""
    for cell_id in ids:
        source, file = SOURCE[cell_id], f"<cell {cell_id}>"
        lines = source.splitlines(keepends=True)
        linecache.cache[file] = len(source), None, lines, file  # for tracebacks
        exec(compile(source, file, "exec"), names)
    return names


def cells_of(heading):
    """Return the ids of the code cells below the heading `## {heading}...`."""
    ids, inside = [], False
    for cell in NOTEBOOK.cells:
        if cell.source.startswith("## "):
            inside = cell.source.startswith(f"## {heading}")
        if inside and cell.cell_type == "code":
            ids.append(cell.id)
    assert ids, f"the notebook has no code below a heading ## {heading}"
    return ids


class Shown:
    """What a cell shows: printed text, tables, figures."""

    def __init__(self, names, cell_id):
        self.tables, self.figures, output = [], [], io.StringIO()
        names["show"], names["table"] = (
            self.show,
            lambda *lines: self.tables.append(lines),
        )
        with contextlib.redirect_stdout(output):
            run_cells(names, cell_id)
        self.printed = output.getvalue()

    def show(self, figure, alt):
        self.figures.append(figure)
        plt.close(figure)  # for pyplot, which counts them

    def column(self, word):
        """Return the numbers below the one heading with this word."""
        ((header, *rows),) = self.tables
        (place,) = (i for i, title in enumerate(header) if word in title)
        return [numbers(row[place])[0] for row in rows]


def numbers(text):
    """Return the numbers in a text: 1,030 is 1030, 92% is 0.92, $10^{-3}$ is 0.001."""
    text = re.sub(r"\$10\^\{(.*?)\}\$", r"1e\1", text).replace(",", "")
    found = re.findall(r"(-?\d+\.?\d*(?:e[-+]?\d+)?)(%?)", text)
    return [float(each) / (100 if percent else 1) for each, percent in found]


SECTION_3 = ["setup", "helpers", "report", "load-data"]


@pytest.fixture(scope="session")
def loaded():
    """What the cells of section 3 leave, with few of the images and of the epochs."""
    names = run_cells({}, *SECTION_3)
    for part, n in {"train": 1030, "valid": 290, "test": 300}.items():
        for letter in "Xy":
            names[f"{letter}_{part}"] = names[f"{letter}_{part}"][:n]
    choose = names["choose"]

    def choose_few_epochs(*values, **named):
        parameters = choose(*values, **named)
        *_, epochs = parameters  # whatever the key is called
        return parameters | {epochs: min(parameters[epochs], 6)}

    names["choose"] = choose_few_epochs
    return names


@pytest.fixture
def names(loaded):
    """A copy of these names, for one test."""
    return loaded.copy()


LEVEL_3 = [
    "level-3-import",
    "level-3-one-hot",
    "level-3-columns",
    "level-3-naive",
    "level-3-softmax",
    "level-3-gradients",
    "level-3-loss",
    "level-3-evaluate",
    "level-3-sgd",
]


@pytest.fixture
def level_3(names):
    """The names of Level 3 up to `sgd`."""
    return run_cells(names, *LEVEL_3)


class Executed:
    """The notebook after *Run All*, on few images: its names, what its cells show."""

    def __init__(self, names):
        self.names = names
        self.shown = {
            cell.id: show_again(names, cell.id)
            for cell in CODE
            if cell.id not in SECTION_3
        }


def show_again(names, cell_id):
    """Run a cell; return what it shows. Each look at the clock is a second later."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "perf_counter", itertools.count().__next__)
        return Shown(names, cell_id)


@pytest.fixture(scope="session")
def executed(loaded):
    return Executed(loaded.copy())


class Clock:
    """Stands for the module `time`: its clock shows the seconds that were spent."""

    def __init__(self):
        self.now = 0.0

    def spend(self, seconds):
        self.now += seconds

    def perf_counter(self):
        return self.now


# --- Oracles ---


def sets(names):
    """Return the training, validation and test sets, each (images, labels)."""
    return [
        (names[f"X_{part}"], names[f"y_{part}"]) for part in ("train", "valid", "test")
    ]


def score(images, labels, W, b):
    """Return the mean loss and the accuracy on images (N, 784)."""
    Z = images @ W + np.ravel(b)
    loss = np.logaddexp.reduce(Z, axis=1) - Z[np.arange(len(labels)), labels]
    return loss.mean(), np.mean(Z.argmax(axis=1) == labels)


def textbook_sgd(train, learning_rate, batch_size, epochs, seed=0):
    """Return (W, b) after each epoch of SGD, as it is taught, from zero."""
    X, y = train
    rng = np.random.default_rng(seed)
    W, b = np.zeros((784, 10), np.float32), np.zeros(10, np.float32)
    history = []
    for _ in range(epochs):
        for start in rng.permutation(np.arange(0, len(X), batch_size)):
            x, truth = X[start : start + batch_size], y[start : start + batch_size]
            E = np.exp((x @ W + b).astype(float))  # overflows above 709 only
            error = E / E.sum(axis=1, keepdims=True) - np.eye(10)[truth]
            W = (W - learning_rate * x.T @ error / len(x)).astype(np.float32)
            b = (b - learning_rate * error.mean(axis=0)).astype(np.float32)
        history.append((W, b))
    return history


def best_of(history, chosen_on):
    """Return the (W, b) that is best on a set; of several, the first."""
    return history[np.argmax([score(*chosen_on, W, b)[1] for W, b in history])]
