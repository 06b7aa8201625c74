"""One whole run of the notebook: it finds the stored results, without a warning."""

import re
import shutil

import nbformat
import pytest
import run
from cells import NOTEBOOK
from common import MARKER, ROOT

# They show rates of 10 or 100, where another kernel of OpenBLAS ends elsewhere.
WANDERS = ["level-1-play", "level-3-sweep", "confidence"]


def percentages(cell):
    """Return the percentages that a run has put into the cell, or that it prints."""
    shown = [value for _, value in MARKER.findall(cell.source)]
    shown += [output.get("text", "") for output in cell.get("outputs", [])]
    return [float(number) for number in re.findall(r"([\d.]+)%", " ".join(shown))]


@pytest.mark.slow
def test_run_finds_stored_results(tmp_path):
    (ROOT / ".theano").mkdir(exist_ok=True)
    for name in "data", ".theano":
        (tmp_path / name).symlink_to(ROOT / name)
    shutil.copy(ROOT / "hw1.ipynb", tmp_path)
    run.main(tmp_path)
    fresh = nbformat.read(tmp_path / "hw1.ipynb", as_version=4)
    for new, stored in zip(fresh.cells, NOTEBOOK.cells, strict=True):
        for output in new.get("outputs", []):
            assert output.get("name") != "stderr", f"{new.id} writes a warning"
        # Rounding by another processor moved accuracies by less than 0.3 points.
        tolerance = 100 if new.id in WANDERS else 0.3
        near = pytest.approx(percentages(stored), abs=tolerance)
        assert percentages(new) == near, f"{new.id} is not fresh: make run"
