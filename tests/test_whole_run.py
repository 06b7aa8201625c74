"""One whole `make run` in a copy, offline, under a user's hostile settings.

Its results are like the stored ones. Other processors print other last digits,
so percentages may differ by 0.3 points, as much as another order of the
training images makes; of times only that they are there is compared.
"""

import os
import re
import subprocess
import sys

import nbformat
import pytest
from conftest import NOTEBOOK, ROOT, copy_checkout, needs
from run import MARKER, PICTURE_CELL, figure
from submission import run_problems

pytestmark = pytest.mark.slow
POINTS = 0.3

# What a user may have set; {home} is a folder with the files below.
SETTINGS = {
    "HOME": "/proc/nowhere",
    "MPLBACKEND": "svg",
    "MATPLOTLIBRC": "{home}",
    "KERAS_BACKEND": "jax",
    "KERAS_HOME": "{home}",
    "THEANO_FLAGS": "device=cuda",
    "THEANORC": "{home}/.theanorc",
    "PYTHONPATH": "{home}/lib",
    "PYTHONSAFEPATH": "1",
    "PYTHONOPTIMIZE": "2",
    "PYTHONWARNINGS": "error",
    "OMP_NUM_THREADS": "7",
    "IPYTHONDIR": "{home}",
    "JUPYTER_PATH": "{home}",
    "JUPYTER_DATA_DIR": "{home}",
}
FILES = {
    "matplotlibrc": "text.usetex: True",
    "keras.json": '{"floatx": "float16"}',
    ".theanorc": "[global]\ndevice = cuda",
    "lib/numpy.py": "raise ImportError('another numpy')",
    "profile_default/startup/hostile.py": "import numpy\nnumpy.argmax = None",
    "profile_default/ipython_config.py": "c.InlineBackend.figure_formats = 7",
    "kernels/python3/kernel.json": '{"argv": ["false"]}',
}


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """A copy in which `make run` was executed."""
    home = tmp_path_factory.mktemp("home")
    for name, content in FILES.items():
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(content)
    settings = {k: v.format(home=home) for k, v in SETTINGS.items()}
    checkout = copy_checkout(home)
    command = ["make", "--directory", checkout, "run"]
    if sys.platform == "linux":
        needs("unshare", "util-linux")
        script = [sys.executable, "-I", ROOT / "tests" / "offline.py"]
        command = ["unshare", "--map-root-user", "--net", *script, *command]
    subprocess.run(command, env=os.environ | settings, check=True)
    return checkout


@pytest.fixture(scope="module")
def fresh(ran):
    """The notebook that it wrote."""
    return nbformat.read(ran / "hw1.ipynb", as_version=4)


def test_cells_were_executed_in_order_without_warnings(fresh):
    assert list(run_problems(fresh)) == []


def kinds(cell):
    """Return what kinds of outputs a cell has."""
    return [(o.output_type, sorted(o.get("data", {}))) for o in cell.outputs]


def test_cells_show_what_the_stored_ones_show(fresh):
    for stored, cell in zip(NOTEBOOK.cells, fresh.cells, strict=True):
        assert cell.id == stored.id
        if cell.cell_type == "code":
            assert kinds(cell) == kinds(stored), f"{cell.id}: make run again"


def filled_values(folder):
    """Return (expression, value) of all that `make run` fills in."""
    notebook = nbformat.read(folder / "hw1.ipynb", as_version=4)
    readme = (folder / "README.md").read_text("utf-8")
    return MARKER.findall(
        "\n".join([readme, *(c.source for c in notebook.cells)])
    )


def is_like(fresh, stored, expression):
    """Say whether an expression has the stored value, or one near it."""
    if stored.endswith("%"):
        difference = float(fresh.rstrip("%")) - float(stored.rstrip("%"))
        return abs(difference) <= POINTS
    if re.search("seconds|modules", expression):  # of the machine and its cache
        return re.sub(r"[\d.]+", "0", fresh) == re.sub(r"[\d.]+", "0", stored)
    return fresh == stored


def test_results_are_like_the_stored_ones(ran):
    pairs = zip(filled_values(ran), filled_values(ROOT), strict=True)
    for (expression, fresh), (same_expression, stored) in pairs:
        assert expression == same_expression
        assert is_like(fresh, stored, expression), (
            f"{expression} is {fresh}, but {stored} is stored: make run again"
        )


def test_readme_shows_the_figure_of_the_run(ran, fresh):
    assert PICTURE_CELL in [cell.id for cell in fresh.cells]
    picture = (ran / "tools" / "result.png").read_bytes()
    assert picture == figure(fresh, PICTURE_CELL)
