"""What the tests share: the cells of hw1.ipynb, run in here on a thousand images."""

import contextlib
import io
import re

import matplotlib
import matplotlib.pyplot as plt
import nbformat
import pytest
from common import ROOT, run_cells

from data import mnist

matplotlib.use("agg")
NOTEBOOK = nbformat.read(ROOT / "hw1.ipynb", as_version=4)
CODE = [cell for cell in NOTEBOOK.cells if cell.cell_type == "code"]
TEXT = [cell for cell in NOTEBOOK.cells if cell.cell_type == "markdown"]
SOURCE = {cell.id: cell.source for cell in NOTEBOOK.cells}
FEW = 1030, 290, 300  # training, validation and test images


def cells_of(section):
    """Return the ids of the code cells below the heading `## {section} ...`."""
    ids, inside = [], False
    for cell in NOTEBOOK.cells:
        if cell.source.startswith("## "):
            inside = cell.source.startswith(f"## {section} ")
        if inside and cell.cell_type == "code":
            ids.append(cell.id)
    return ids


def show(names, *ids):
    """Run cells in `names`; return the text that they print, and their figures."""
    plt.close("all")
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        run_cells(names, *ids)
    return printed.getvalue(), [plt.figure(each) for each in plt.get_fignums()]


def numbers(text):
    """Return the numbers in a text; 92.8% is 92.8, and 1,030 is 1030."""
    found = re.findall(r"-?\d+(?:\.\d+)?(?:e[-+]?\d+)?", text.replace(",", ""))
    return [float(number) for number in found]


class Executed:
    """The notebook after *Run All*, on few images: names, prints, figures."""

    def __init__(self, few):
        self.few, self.printed, self.figures = few, {}, {}
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(mnist, "load_mnist", lambda: few)
            section_3 = self.run({}, "3")
        self.arrays = {k: v for k, v in section_3.items() if k[:2] in ("X_", "y_")}
        # Levels 2 and 3 get the arrays alone, which shows that they need no more.
        self.names = self.run(self.arrays.copy(), "6")
        self.names |= self.run(self.arrays.copy(), "5") | self.run(section_3, "4")
        self.run(self.names, "7")
        self.run(self.names, "8")

    def run(self, names, section):
        for cell_id in cells_of(section):
            if cell_id == "level-1-play":  # five trainings, which no test looks at
                continue
            self.printed[cell_id], self.figures[cell_id] = show(names, cell_id)
        return names


@pytest.fixture(scope="session")
def executed():
    few = [(X[:n], y[:n]) for (X, y), n in zip(mnist.load_mnist(), FEW, strict=True)]
    return Executed(few)
