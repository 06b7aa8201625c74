"""The cells of hw1.ipynb: what is stored, and what they do when they run in here."""

import contextlib
import io
import re
from types import SimpleNamespace

import matplotlib
import matplotlib.pyplot as plt
import nbformat
from common import ROOT, run_cells

matplotlib.use("agg")
NOTEBOOK = nbformat.read(ROOT / "hw1.ipynb", as_version=4)
CODE = [cell for cell in NOTEBOOK.cells if cell.cell_type == "code"]
SOURCE = {cell.id: cell.source for cell in NOTEBOOK.cells}
PRINTED = {c.id: "".join(each.get("text", "") for each in c.outputs) for c in CODE}


def cells_of(sections):
    """Return the ids of the code cells in these sections; "78" are 7 and 8."""
    ids, section = [], "0"
    for cell in NOTEBOOK.cells:
        if cell.source.startswith("## "):
            section = cell.source[3]
        if section in sections and cell.cell_type == "code":
            ids.append(cell.id)
    return ids


def capture(names, *ids):
    """Run cells in `names`; return the text that they print, and their figures."""
    plt.close("all")
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        run_cells(names, *ids)
    return printed.getvalue(), [plt.figure(each) for each in plt.get_fignums()]


def execute(names, sections):
    """Run sections in `names`; return these, and by cell what is printed."""
    done = SimpleNamespace(names=names, printed={})
    for cell_id in cells_of(sections):
        if cell_id != "level-1-play":  # five trainings, which no test looks at
            done.printed[cell_id], _ = capture(names, cell_id)
    return done


def numbers(text):
    """Return the numbers in a text; 92.8% is 92.8, and 1,030 is 1030."""
    found = re.findall(r"-?\d+(?:\.\d+)?(?:e[-+]?\d+)?", text.replace(",", ""))
    return [float(number) for number in found]
