"""What the test files share: the stored notebook, and a kernel that has run it all.

`make run` executes the notebook once, in a copy of the repository and under hardship,
while the first tests run. Its last cell is ours: it answers what the tests ask, and
`make run` goes on after it.
"""

import os
import shutil
import subprocess
import sys
import time
import tomllib
from multiprocessing.connection import Client
from pathlib import Path

import nbformat
import numpy as np
import pytest
from nbformat.v4 import new_code_cell

ROOT = Path(__file__).resolve().parent.parent
SAID = tomllib.loads((ROOT / "tests" / "said.toml").read_text())
STEPS = tomllib.loads((ROOT / "tests" / "steps.toml").read_text())
sys.path[:0] = [str(ROOT), str(ROOT / "tools")]

from data.mnist import load_mnist  # noqa: E402


@pytest.fixture(scope="session")
def notebook():
    """The stored hw1.ipynb."""
    return nbformat.read(ROOT / "hw1.ipynb", as_version=4)


@pytest.fixture(scope="session")
def data():
    """The sets "train", "valid" and "test", each (images (N, 784), labels (N,))."""
    (X, y), valid, test = load_mnist()
    order = np.random.default_rng(0).permutation(50_000)
    return {"train": (X[order], y[order]), "valid": valid, "test": test}


@pytest.fixture(scope="session", autouse=True)
def started(request, notebook, tmp_path_factory):
    """The folder, the process and the settings of the run, begun before all tests.

    There is no network (on Linux), Theano's cache is empty, the path has a space, and
    no setting of the user is left as it was.
    """
    if not any("kernel" in item.fixturenames for item in request.session.items):
        yield
        return
    folder = copy_checkout(tmp_path_factory.mktemp("fresh"))
    cells = [*notebook.cells, new_code_cell(STEPS["answer"])]
    setup = [cell.id for cell in cells].index("setup")
    cells.insert(setup + 1, new_code_cell(STEPS["keep-figures"]))
    probed = nbformat.from_dict(notebook | {"cells": cells})
    nbformat.write(probed, folder / "hw1.ipynb")
    home = folder / "home"
    for name, content in STEPS["files-of-the-user"].items():
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(content)
    settings = STEPS["settings-of-the-user"].items()
    settings = {name: value.replace("~", str(home)) for name, value in settings}
    command = ["make", "--directory", folder, "run"]
    if sys.platform == "linux":
        offline = ["unshare", "--map-root-user", "--net", sys.executable, "-Ic"]
        command = [*offline, STEPS["loopback"], *command]
    process = subprocess.Popen(command, env=os.environ | settings)
    yield folder, process, settings
    process.terminate()


@pytest.fixture(scope="session")
def kernel(notebook, started):
    """The kernel of a `make run` that has executed all cells (see `Kernel`)."""
    folder, process, _ = started
    while not (folder / "kernel.socket").exists():
        assert process.poll() is None, "make run failed, see its output"
        time.sleep(0.2)
    time.sleep(0.2)  # the socket exists a moment before it listens
    with Client(str(folder / "kernel.socket")) as connection:
        yield Kernel(notebook, folder, process, connection)
        if process.poll() is None:
            connection.send(None)
        process.wait()


class Kernel:
    """Runs cells and code in copies of the names that the executed notebook left."""

    def __init__(self, notebook, folder, process, connection):
        self.sources = STEPS | {cell.id: cell.source for cell in notebook.cells}
        self.folder, self.process, self.connection = folder, process, connection

    def __call__(self, steps="", *, get, edit=str, **names):
        """Return `get`, an expression, after the steps: ids of cells, or of steps.toml.

        `edit` changes their source. What they print is in `printed`.
        """
        steps = [edit(self.sources[step]) for step in steps.split()]
        self.connection.send((steps, get, names))
        answer = self.connection.recv()
        if isinstance(answer, Exception):
            raise answer
        return answer

    def finish(self):
        """Let `make run` end; return the notebook that it wrote."""
        self.connection.send(None)
        assert self.process.wait() == 0
        return nbformat.read(self.folder / "hw1.ipynb", as_version=4)


def pytest_collection_modifyitems(items):
    """What needs the end of `make run` comes after all that needs its kernel."""
    items.sort(key=lambda item: "fresh" in item.fixturenames)


def scores(images, labels, W, b):
    """Return the mean loss and the accuracy on images (N, 784) with labels (N,)."""
    Z = images @ W + np.ravel(b)
    loss = np.logaddexp.reduce(Z, axis=1) - Z[np.arange(len(labels)), labels]
    return loss.mean(), np.mean(Z.argmax(axis=1) == labels)


def textbook(train, valid, learning_rate, batch_size, epochs, seed=0):
    """Return W and b of SGD's best epoch, and (loss, accuracy) after each, as taught.

    All numbers have the type of the training images.
    """
    (X, y), rng, history = train, np.random.default_rng(seed), []
    W, b = np.zeros((784, 10), X.dtype), np.zeros(10, X.dtype)
    for _ in range(epochs):
        for i in rng.permutation(np.arange(0, len(X), batch_size)):
            x, truth = X[i : i + batch_size], np.eye(10)[y[i : i + batch_size]]
            E = np.exp(x @ W + b)
            G = (E / E.sum(axis=1, keepdims=True) - truth).astype(X.dtype)
            W, b = W - learning_rate * x.T @ G / len(x), b - learning_rate * G.mean(0)
        history.append((W, b, *scores(*valid, W, b)))
    best = np.argmax([accuracy for *_, accuracy in history])
    return *history[best][:2], [row[2:] for row in history]


def code_of(notebook, heading):
    """Return the sources of the code below the level-2 heading that begins so."""
    sources, inside = [], False
    for cell in notebook.cells:
        if cell.source.startswith("## "):
            inside = cell.source.startswith(f"## {heading}")
        if inside and cell.cell_type == "code":
            sources.append(cell.source)
    assert sources, f"the notebook has no section {heading}"
    return sources


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
