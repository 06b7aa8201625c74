"""One whole `make run` in a copy, offline, under a user's hostile settings.

Every output that holds no time is compared with the stored one: a cell that was changed
and not run again is seen, and so is a number typed by hand.
"""

import os
import re
import shutil
import subprocess
from decimal import Decimal
from itertools import zip_longest

import nbformat
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


NUMBER = re.compile(r"\d[\d,]*\.?\d*(?: × 10[⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+)?%?")
PLAIN = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789", ",%")
# What differs from run to run or with the machine: times, versions of software.
TIME = re.compile(r"\d[\d,]*\.?\d* ?(?:s|ms|seconds)\b")
TIMES_BELOW = re.compile(r"\D*( s|\bseconds)")
VERSION = re.compile(r"\d+\.\d+\.\d+")
# At these learning rates training wanders, and on another processor it ends elsewhere.
WANDERING_ROW = re.compile(r"\W*(10|100|10¹|10²)(?![\w⁻.,])")
WANDERING = re.compile(r"(?<=10[¹²]:)[^,]*")


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
    head, *_ = rows = [
        re.split(r" *\| *|  +", WANDERING.sub("", TIME.sub("", line)).strip("| "))
        for line in text.splitlines()
        if not VERSION.search(line)
    ] or [[]]
    return [
        NUMBER.sub("", field) if WANDERING_ROW.match(row[0]) else field
        for row in rows
        for i, field in enumerate(row)
        if len(row) != len(head) or not TIMES_BELOW.fullmatch(head[i])
    ]


def is_near(new, old):
    """Say whether the numbers in two texts are equal but for another processor's."""
    a, b = (Decimal(n.replace(" × 10", "E").translate(PLAIN)) for n in (new, old))
    digit = Decimal(1).scaleb(b.as_tuple().exponent)  # the last one printed
    if old.endswith("%"):  # another order of the images makes as much
        return abs(a - b) <= max(digit, Decimal("0.3"))
    if len(old) == 1:  # a label, a count of nothing or of little
        return a == b
    return abs(a - b) <= max(digit, abs(b) / 50, Decimal("1e-5"))


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


def test_results_are_like_the_stored_ones(fresh):
    wrong = []
    for cell, stored in zip(fresh.cells, NOTEBOOK.cells, strict=True):
        if kinds(cell) != kinds(stored):
            wrong.append(f"{cell.id} shows {kinds(cell)}, stored are {kinds(stored)}")
        elif "platform" not in cell.source:  # all about the machine
            for text, old_text in zip(texts(cell), texts(stored), strict=True):
                for new, old in zip_longest(parts(text), parts(old_text), fillvalue=""):
                    if not is_like(new, old):
                        wrong.append(f"{cell.id} shows {new!r}, stored is {old!r}")
    assert not wrong, "\n".join(["run it anew (make run):", *wrong])
