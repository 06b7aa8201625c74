"""One whole `make run` in a copy, offline, under a user's hostile settings.

Every output that holds no time is compared with the stored one: a cell that was changed
and not run again is seen, and so is a number typed by hand.
"""

import base64
import io
import os
import re
import shutil
import subprocess
from decimal import Decimal
from itertools import zip_longest

import matplotlib.image
import nbformat
import numpy as np
import pytest
from conftest import NOTEBOOK, ROOT
from notebook import MARKER

pytestmark = pytest.mark.slow

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
OFFLINE = ["unshare", "--map-root-user", "--net"]  # where Linux lets us


NUMBER = re.compile(r"\d+(?:,\d{3})*(?:\.\d+)?(?:(?: × 10)?[⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+)?%?")
PLAIN = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789", ",%")
# What differs from run to run or with the machine: times, versions of software.
TIME = re.compile(r"\d+(?:,\d{3})*(?:\.\d+)? ?(?:s|ms|seconds)\b")
TIMES_BELOW = re.compile(r"\D*( s|\bseconds)")
VERSION = re.compile(r"\d+\.\d+\.\d+")
# At these learning rates training wanders, and on another processor it ends elsewhere.
WANDERING = re.compile(r"(^\W*100?(?= )|10[¹²]).*?(?=, 10|;|$)")


@pytest.fixture(scope="module")
def fresh(tmp_path_factory):
    """The notebook that `make run` wrote."""
    home = tmp_path_factory.mktemp("home")
    for name, content in FILES.items():
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(content)
    settings = {k: v.format(home=home) for k, v in SETTINGS.items()}
    folder = tmp_path_factory.mktemp("a copy")
    for name in ".venv", ".uv", ".theano", "data":
        (folder / name).symlink_to(ROOT / name)
    for name in "Makefile", "hw1.ipynb":
        shutil.copy(ROOT / name, folder)
    shutil.copytree(ROOT / "tools", folder / "tools")
    command = ["make", "--directory", folder, "run"]
    if shutil.which("unshare") and not subprocess.call([*OFFLINE, "true"]):
        command = OFFLINE + command
    subprocess.run(command, env=os.environ | settings, check=True)
    return nbformat.read(folder / "hw1.ipynb", as_version=4)


def parts(text):
    """Return the fields of each line, without what differs from run to run."""
    rows = [
        re.split(r" *\| *|  +", WANDERING.sub(r"\1", TIME.sub("", line)).strip("| "))
        for line in text.splitlines()
        if not VERSION.search(line)
    ]
    head = rows[0] if rows else []
    return [
        field
        for row in rows
        for i, field in enumerate(row)
        if len(row) != len(head) or not TIMES_BELOW.fullmatch(head[i])
    ]


def decimal(number):
    """Return the value of 92.31%, 2,378, 10⁻⁶, 3 × 10⁻⁷."""
    number = re.sub("^10(?=[⁻⁰¹²³⁴⁵⁶⁷⁸⁹])", "1 × 10", number)
    return Decimal(number.replace(" × 10", "E").translate(PLAIN))


def is_near(new, old):
    """Say whether two numbers are equal but for another processor's rounding."""
    a, b = decimal(new), decimal(old)
    digit = Decimal(1).scaleb(b.as_tuple().exponent)  # the last one printed
    if old.endswith("%"):  # another order of the images makes as much
        return abs(a - b) <= max(digit, Decimal("0.3"))
    if "⁻" in old:  # so small a number may be the rounding itself
        return b / 5 < a < 5 * b
    if len(old) == 1:  # a label, a count of nothing or of little
        return a == b
    return abs(a - b) <= max(digit, abs(b) / 50)


def is_like(new, old):
    """Say whether two parts have the same words, and numbers that are near."""
    pairs = zip(NUMBER.findall(new), NUMBER.findall(old), strict=False)
    return NUMBER.sub("", new) == NUMBER.sub("", old) and all(
        is_near(*pair) for pair in pairs
    )


def texts(cell):
    """Return the texts that a run has put into the cell."""
    if cell.cell_type == "markdown":
        return [value for _, value in MARKER.findall(cell.source)]
    return [
        text
        for output in cell.get("outputs", [])
        for kind, text in (output.get("data") or {"text": output.get("text")}).items()
        if not kind.startswith("image/")
    ]


def kinds(cell):
    """Return what kinds of outputs the cell has."""
    return [
        (output.output_type, output.get("name"), sorted(output.get("data", {})))
        for output in cell.get("outputs", [])
    ]


def pictures(cell):
    """Return the figures that hold no time and no training that wanders."""
    return [
        matplotlib.image.imread(io.BytesIO(base64.b64decode(data["image/png"])))
        for output in cell.get("outputs", [])
        if "image/png" in (data := output.get("data", {}))
        and not re.search(f"{TIME.pattern}|10[¹²]", data.get("text/plain", ""))
    ]


def is_same(new, old):
    """Say whether two figures are equal, but for a few points of a curve."""
    return new.shape == old.shape and np.mean(np.abs(new - old) > 0.2) < 0.0005


def test_results_are_like_the_stored_ones(fresh):
    wrong = []
    for cell, stored in zip(fresh.cells, NOTEBOOK.cells, strict=True):
        if kinds(cell) != kinds(stored):
            wrong.append(f"{cell.id} shows {kinds(cell)}, stored are {kinds(stored)}")
            continue
        if "platform" in cell.source:  # it shows the machine
            continue
        for text, old_text in zip(texts(cell), texts(stored), strict=True):
            for new, old in zip_longest(parts(text), parts(old_text), fillvalue=""):
                if not is_like(new, old):
                    wrong.append(f"{cell.id} shows {new!r}, stored is {old!r}")
        new_old = zip(pictures(cell), pictures(stored), strict=False)
        if not all(is_same(*pair) for pair in new_old):
            wrong.append(f"{cell.id} draws another figure than is stored")
    assert not wrong, "\n".join(["make run, these outputs are not fresh:", *wrong])
