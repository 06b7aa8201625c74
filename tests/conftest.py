"""What several test files share: the stored notebook, and pieces of it."""

import ast
import os
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tools")]
os.environ["OMP_NUM_THREADS"] = "1"  # before numpy: two threads are slower here


@pytest.fixture(scope="session")
def notebook():
    """The stored hw1.ipynb."""
    return nbformat.read(ROOT / "hw1.ipynb", as_version=4)


@pytest.fixture(scope="session")
def level_3(notebook):
    """The functions of Level 3, taken from the notebook without running its cells."""
    source = "\n".join(cell.source for cell in section(notebook, "6 Level 3", "code"))
    wanted = (ast.Import, ast.ImportFrom, ast.FunctionDef)
    body = [node for node in ast.parse(source).body if isinstance(node, wanted)]
    names = {}
    exec(compile(ast.Module(body, type_ignores=[]), "hw1.ipynb", "exec"), names)
    return names


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


def execute(cells):
    """Execute `cells` in a fresh kernel at the top of the repository; return them."""
    fresh = nbformat.v4.new_notebook(cells=[nbformat.from_dict(c) for c in cells])
    NotebookClient(fresh, resources={"metadata": {"path": str(ROOT)}}).execute()
    return fresh.cells
