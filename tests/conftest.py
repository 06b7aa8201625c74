"""What several test files share: the stored notebook, and pieces of it."""

import ast
import shutil
import sys
from contextlib import contextmanager
from pathlib import Path

import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tools"), str(ROOT / "tools" / "bench")]


@pytest.fixture(scope="session")
def notebook():
    """The stored hw1.ipynb."""
    return nbformat.read(ROOT / "hw1.ipynb", as_version=4)


@pytest.fixture(scope="session")
def level_3(notebook):
    """The functions of Level 3 as the notebook has them."""
    return functions(notebook)


def functions(notebook, **replacements):
    """Return the functions of sections 3 and 6, without running the cells.

    Each of the `replacements`, for instance float32="float64", is made in their source.
    """
    cells = [*section(notebook, "3 Before", "code"), *section(notebook, "6 ", "code")]
    source = "\n".join(cell.source for cell in cells)
    for old, new in replacements.items():
        source = source.replace(old.strip("_"), new)
    wanted = (ast.Import, ast.ImportFrom, ast.FunctionDef)
    body = [node for node in ast.parse(source).body if isinstance(node, wanted)]
    names = {}
    exec(compile(ast.Module(body, type_ignores=[]), "hw1.ipynb", "exec"), names)
    return names


def rounding_bound(X, learning_rate, batch_size, steps):
    """Return how far apart, as a Frobenius norm, rounding may carry W and b together.

    Two programs train from zero with the same batches of X (784, N), in 64 bits. An
    exact step does not carry two sets of weights apart if the rate is at most 2/L,
    where L, the largest curvature of the loss, is at most max(|x|² + 1)/2 (that of
    log-sum-exp is at most 1/2). So each is away from exact arithmetic by no more than
    the sum of its steps' own rounding errors. To first order in u = 2^-53:

    - An entry of the gradient is a mean of m products of size at most 1, and its sum
      has an error of m·u at most. So t steps lead to weights of at most t·rate.
    - A score sums 785 products, no larger than these weights, with an error of at most
      785² t·rate·u. Subtracting the column's largest score at most doubles it, the
      softmax halves it (doubled here, to be safe) and adds a few u of its own (30).
    - The step rounds the product with the rate, and the new weight.
    """
    assert np.abs(X).max() <= 1
    assert learning_rate <= 4 / (np.square(X).sum(axis=0).max() + 1)
    u, largest = 2.0**-53, steps * learning_rate
    entry = (batch_size + 2 * 785**2 * largest + 30) * u
    one_step = np.sqrt(7_850) * (learning_rate * entry + (learning_rate + largest) * u)
    return 2 * steps * one_step


def section(notebook, heading, cell_type=None):
    """Return the cells from the level-2 `heading` (its beginning) to the next one."""
    cells, inside = [], False
    for cell in notebook.cells:
        if cell.cell_type == "markdown" and cell.source.startswith("## "):
            inside = cell.source.startswith(f"## {heading}")
        if inside and cell_type in (None, cell.cell_type):
            cells.append(cell)
    assert cells, f"the notebook has no section {heading}"
    return cells


def by_id(notebook, *ids):
    """Return the code cells with these ids, in this order."""
    cells = {cell.id: cell for cell in notebook.cells}
    return [cells[each] for each in ids]


def execute(cells):
    """Execute `cells` in a fresh kernel at the top of the repository; return them."""
    with kernel(cells) as client:
        return client.nb.cells


@contextmanager
def kernel(cells):
    """The client of a kernel, at the top of the repository, that has run `cells`."""
    fresh = new_notebook(cells=[nbformat.from_dict(cell) for cell in cells])
    client = NotebookClient(fresh, resources={"metadata": {"path": str(ROOT)}})
    with client.setup_kernel():
        for i, cell in enumerate(fresh.cells):
            client.execute_cell(cell, i)
        yield client


def ask(client, expression):
    """Return the value, a literal, of `expression` in the kernel of `client`."""
    client.nb.cells.append(new_code_cell(expression))
    cell = client.execute_cell(client.nb.cells[-1], len(client.nb.cells) - 1)
    return ast.literal_eval(cell.outputs[0].data["text/plain"])


def copy_checkout(folder):
    """Return a copy of the repository, its path with a space, and the same .venv."""
    copy = folder / "a copy"
    left_out = shutil.ignore_patterns(
        *(".git", ".venv", ".bench", ".uv", ".home", ".*_*"),
        *("__pycache__", "*.html", "*.zip"),
    )
    shutil.copytree(ROOT, copy, ignore=left_out)
    (copy / ".venv").symlink_to(ROOT / ".venv")
    return copy
