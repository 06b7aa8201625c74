"""Put each fault of faults.toml into a copy of the notebook: do its tests turn red?

By hand: .venv/bin/python tools/try_faults.py [word ...]. The words choose those faults
that contain one. Two run at a time, and each takes a minute or two.
"""

import re
import subprocess
import sys
import tempfile
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nbformat

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from conftest import copy_checkout  # noqa: E402

FAULTS = tomllib.loads((ROOT / "tests" / "faults.toml").read_text())["faults"]
PARTS = "notebook", "figures", "numbers", "levels", "derivation"
TESTS = [f"tests/test_{part}.py" for part in PARTS]


def first_failure(place, old, new):
    """Return the first test that fails where `new` stands for `old`, or None.

    `place` is the id of a cell, or README.md.
    """
    with tempfile.TemporaryDirectory() as folder:
        copy = copy_checkout(Path(folder))
        notebook = nbformat.read(copy / "hw1.ipynb", as_version=4)
        texts = {cell.id: cell for cell in notebook.cells}
        texts["README.md"] = readme = {"source": (copy / "README.md").read_text()}
        assert old in texts[place]["source"], f"{place} has no {old}"
        texts[place]["source"] = texts[place]["source"].replace(old, new)
        nbformat.write(notebook, copy / "hw1.ipynb")
        (copy / "README.md").write_text(readme["source"])
        options = ["-x", "-c", "tools/pyproject.toml", "--rootdir", "."]
        command = [sys.executable, "-m", "pytest", *options, *TESTS]
        run = subprocess.run(command, cwd=copy, capture_output=True, text=True)
    found = re.search(r"^(?:FAILED|ERROR) tests/(\S+)(.*)", run.stdout, re.MULTILINE)
    return found and found[0]


def main(words):
    wanted = [f for f in FAULTS if not words or any(word in str(f) for word in words)]
    if failure := first_failure("setup", "", ""):
        sys.exit(f"The tests fail without a fault: {failure}")
    with ThreadPoolExecutor(2) as pool:
        failures = pool.map(lambda fault: first_failure(*fault), wanted)
        green = len(wanted)
        for (place, _, new), failure in zip(wanted, failures, strict=True):
            green -= bool(failure)
            print(place, repr(new), failure or "STAYED GREEN", flush=True)
    print(f"{green} of {len(wanted)} stayed green")
    return 1 if green else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
