"""What the test files share: cells of hw1.ipynb, run by their ids, in here."""

import contextlib
import io
import math
import os
import re
import shutil
import sys
import time
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
import nbformat
import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tools")]
NOTEBOOK = nbformat.read(ROOT / "hw1.ipynb", as_version=4)
CODE = [cell for cell in NOTEBOOK.cells if cell.cell_type == "code"]
TEXT = [cell for cell in NOTEBOOK.cells if cell.cell_type == "markdown"]
SOURCE = {cell.id: cell.source for cell in NOTEBOOK.cells}
matplotlib.use("agg")

from common import run_cells  # noqa: E402 (of tools/, which is in sys.path now)


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


# --- Cells, and what they show ---


def cells_of(section):
    """Return the ids of the code cells below the heading `## {section} ...`."""
    ids, inside = [], False
    for cell in NOTEBOOK.cells:
        if cell.source.startswith("## "):
            inside = cell.source.startswith(f"## {section} ")
        if inside and cell.cell_type == "code":
            ids.append(cell.id)
    assert ids, f"the notebook has no code below a heading ## {section}"
    return ids


class Shown:
    """What a cell shows: the text that it prints, its tables, its figures."""

    def __init__(self):
        self.tables, self.figures, self.description = [], [], ""

    def table(self, header, *rows, replace=False):
        if replace:
            self.tables.clear()
        self.tables.append([list(header), *(list(row) for row in rows)])

    def show(self, figure, description):
        self.figures.append(figure)
        self.description = description
        plt.close(figure)  # for pyplot, which counts them


def show_cells(names, *ids):
    """Run cells, while the clock stands still; return what the last of them shows."""
    for cell_id in ids:
        shown, output = Shown(), io.StringIO()
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(names, "show", shown.show)
            patch.setitem(names, "table", shown.table)
            patch.setattr(time, "perf_counter", lambda: 0.0)
            with contextlib.redirect_stdout(output):
                run_cells(names, cell_id)
        shown.printed = output.getvalue()
    return shown


# --- Numbers in a text ---

UNITS = {"%": 0.01, "ms": 0.001}
NUMBER = re.compile(
    r"(?<![\w.])(-?(?:\d+(?:\.\d+)?(?:e[-+]?\d+)?|nan\b|inf\b))(?: ?(%|ms\b))?"
)


def numbers(text):
    """Return the numbers in a text, each with half a unit of its last digit.

    1,030 is 1030, 92% is 0.92, 8 × 10⁻⁸ is 8e-8, 7 ms are 0.007.
    """
    text = re.sub(r"(?<=\d)[,_\u202f\u2009\xa0](?=\d{3}(?!\d))", "", text)
    text = text.replace("−", "-").replace("×", "x")
    plain = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")
    power = r"(?:(\d[\d.]*) ?x ?)?\b10([⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+)"
    text = re.sub(power, lambda m: f"{m[1] or 1}e{m[2].translate(plain)}", text)
    found = []
    for number, unit in NUMBER.findall(text):
        digits, _, exponent = number.partition("e")
        decimals = len(digits.partition(".")[2])
        half = 0.5 * 10.0 ** (int(exponent or 0) - decimals)
        found.append((float(number) * UNITS.get(unit, 1), half * UNITS.get(unit, 1)))
    return found


def assert_says(text, *values, slack=0):
    """These values stand in the text in this order, rounded as the text has them."""
    rest = iter(numbers(text))
    for value in values:
        assert any(
            math.isclose(number, value, rel_tol=1e-5, abs_tol=1.01 * half + slack)
            or (math.isnan(number) and math.isnan(value))
            for number, half in rest
        ), f"{value:.6g} is missing, or stands elsewhere, in: {text}"


def column(table, word):
    """Return the cells below the first heading that has this word."""
    header, *rows = table
    places = [i for i, head in enumerate(header) if word in head]
    assert places, f"no heading has the word {word}: {header}"
    return [row[places[0]] for row in rows]


# --- The notebook on few images ---

FEW = {"train": 1030, "valid": 290, "test": 300}


@pytest.fixture(scope="session")
def loaded():
    """What the cells of section 3 leave, with few of the images."""
    names = run_cells({}, *cells_of("3"))
    for part, n in FEW.items():
        for letter in "Xy":
            names[f"{letter}_{part}"] = names[f"{letter}_{part}"][:n]
    return names


@pytest.fixture(scope="session")
def arrays(loaded):
    """What Levels 2 and 3 may use of section 3."""
    allowed = [f"{letter}_{part}" for part in FEW for letter in "Xy"]
    return {name: loaded[name] for name in [*allowed, "show", "table"]}


@pytest.fixture
def level_3(arrays):
    """The names of Level 3 up to `sgd`."""
    ids = cells_of("6")
    return run_cells(arrays.copy(), *ids[: ids.index("level-3-sgd") + 1])


class Executed:
    """Cells that have run, one after the other: their names, and what each showed."""

    def __init__(self, names, ids):
        self.names = names
        self.shown = {cell_id: show_cells(names, cell_id) for cell_id in ids}

    def show(self, *ids, **planted):
        """Run cells again in a copy of the names; return what the last one shows."""
        return show_cells(self.names | planted, *ids)


@pytest.fixture(scope="session")
def swept(arrays):
    """Level 3 as a whole, with its sweep."""
    return Executed(arrays.copy(), cells_of("6"))


@pytest.fixture(scope="session")
def executed(loaded):
    """The notebook after *Run All*. It takes long: only test_comparison.py asks it.

    Without level-1-play, whose five trainings are planted in a test of their own.
    """
    done = [*cells_of("3"), "level-1-play"]
    return Executed(loaded.copy(), [cell.id for cell in CODE if cell.id not in done])


class Clock:
    """A clock in place of time.perf_counter: it moves when something spends time."""

    now = 0.0

    def spend(self, seconds, result=None):
        self.now += seconds
        return result


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(time, "perf_counter", lambda: clock.now)
    return clock
