"""bench/bench.py: its contenders train, and its page gets what was measured."""

import shutil

import numpy as np
import pytest
from conftest import ROOT
from notebook import MARKER

from bench import bench


@pytest.fixture
def few_images():
    """Three classes that any contender can tell apart, and again for validation."""
    labels = np.arange(bench.BATCH) % 3
    X = np.zeros((len(labels), 784), np.float32)
    X[np.arange(len(labels)), labels] = 1
    return (X, labels), (X[:30], labels[:30])


OURS = [name for name, (_, python) in bench.CONTENDERS.items() if python == bench.OURS]


@pytest.mark.parametrize("name", OURS)
def test_contender_learns(name, few_images, monkeypatch):
    monkeypatch.chdir(ROOT)  # where Level 2 keeps what it compiles
    train, _ = bench.CONTENDERS[name]
    accuracy = train(*few_images)()
    assert accuracy == 1 or train is bench.products


def test_page_is_filled_from_what_was_measured(tmp_path, monkeypatch):
    """Contender n takes n + 1 and n seconds; in one round all take tenfold."""
    names = list(bench.CONTENDERS)

    def planted(name, seed, folder=ROOT):
        n, slow = 1 + names.index(name), 10 if seed == 3 else 1
        empty = 60 if folder != ROOT else 0
        seconds = [slow * (n + 1) + empty, slow * n]
        return {"seconds": seconds, "accuracy": 0.9 + n / 1000}

    page = shutil.copy(bench.PAGE, tmp_path / "bench.md")
    monkeypatch.setattr(bench, "PAGE", page)
    monkeypatch.setattr(bench, "measure", planted)
    bench.main()
    found = dict(MARKER.findall(page.read_text("utf-8")))
    rows = [line.split("|") for line in found[" table "].split("\n") if "." in line]
    numpy = 1 + names.index(bench.NUMPY)
    for n, (row, name) in enumerate(zip(rows, names, strict=True), 1):
        title, *values = (cell.strip() for cell in row[1:-1])
        assert title == name
        assert [float(each) for each in values[:2]] == [n + 1, n]
        assert float(values[2]) == pytest.approx(n / numpy, abs=0.006)
        assert values[3] in (f"{90 + n / 10:.2f}%", "–")
    theano = 1 + names.index(bench.THEANO)
    assert float(found[" empty "].split()[0]) == theano + 1 + 60
