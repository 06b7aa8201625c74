"""tools/bench.py: its contenders train, its tables say what was measured."""

import sys
from pathlib import Path
from statistics import median

import bench
import numpy as np
import pytest
from bench import Training
from conftest import score, textbook_sgd
from run import MARKER

from data.mnist import load_mnist

EXACT = [bench.level_2, bench.level_3]  # they shuffle as the textbook does
OTHERS = [
    pytest.param(function, python, id=function.__name__)
    for function, python in bench.CONTENDERS.values()
    if function not in [bench.products, *EXACT]
    and Path(python).exists()  # JAX and PyTorch are there after `make bench`
]


@pytest.fixture(scope="module")
def textbook():
    """The accuracies of textbook SGD on 200 images, trained on 1000 others."""
    (X, y), (X_valid, y_valid), _ = load_mnist()
    few = np.random.default_rng(3).permutation(len(y))[:1000]
    valid = X_valid[:200], y_valid[:200]
    history = textbook_sgd((X[few], y[few]), 1.0, 250, 20)
    return [score(*valid, *weights)[1] for weights in history]


def train(function, python=sys.executable, images=1000):
    """Return the accuracies of a training on the same images."""
    training = bench.train(function, python, seed=3, images=images)
    accuracies, ticks = zip(*training.history, strict=True)
    times = [training.start, *ticks]
    assert times == sorted(set(times)), "each epoch must end after the last one"
    return list(accuracies)


@pytest.mark.slow
@pytest.mark.parametrize("level", EXACT)
def test_levels_2_and_3_train_as_the_textbook_does(level, textbook):
    # One of the 200 images may lie so near a border that rounding decides.
    assert train(level) == pytest.approx(textbook, abs=0.0051)


@pytest.mark.slow
@pytest.mark.parametrize("function, python", OTHERS)
def test_every_other_contender_learns_as_much(function, python, textbook):
    accuracies = train(function, python)
    assert len(accuracies) == len(textbook), "a contender trains for 20 epochs"
    # Other orders of the batches change it by two of the 200 images, a tenth of
    # the learning rate by nine.
    assert median(accuracies) == pytest.approx(median(textbook), abs=0.02)


def test_a_contender_that_fails_is_named(capfd):
    with pytest.raises(SystemExit, match="The contender level_3 failed"):
        train(bench.level_3, images=0)
    assert "Error" in capfd.readouterr().err, "its traceback must be seen, too"


def test_a_worker_finds_every_contender_by_its_name():
    for function, _ in bench.CONTENDERS.values():
        assert getattr(bench, function.__name__) is function


def training(epoch, startup=0, accuracies=(0.1, 0.2)):
    """Return a Training whose epochs all take so long."""
    ticks = [1000 + startup + epoch * n for n in range(1, len(accuracies) + 1)]
    return Training(1000, list(zip(accuracies, ticks, strict=True)))


def test_start_up_counts_in_the_whole_training_only():
    planted = training(epoch=2, startup=7)
    assert bench.epoch_seconds(planted) == 2
    assert bench.whole_seconds(planted) == 7 + 2 * 2


def test_an_epoch_that_was_disturbed_does_not_count():
    planted = Training(0, [(0, 5), (0, 6), (0, 7), (0, 90), (0, 91)])
    assert bench.epoch_seconds(planted) == 1


def test_a_ratio_compares_within_a_round():
    these = [training(epoch) for epoch in (2, 30, 4)]
    those = [training(epoch) for epoch in (1, 10, 4)]
    assert bench.ratio(these, those) == 2  # of 2, 3, 1; that of medians is 1


def test_a_target_counts_in_the_orders_that_reach_it():
    planted = [
        training(1, accuracies=(0.91, 0.93, 0.92, 0.93)),  # at the second
        training(1, accuracies=(0.91, 0.92, 0.925, 0.93)),  # at the third, just
        training(1, accuracies=(0.90, 0.91, 0.92, 0.92)),  # never
    ]
    assert bench.reached(planted, 0.925) == "2.5 (2 of 3)"
    assert bench.reached(planted, 0.94) == "– (0 of 3)"


@pytest.fixture
def values(monkeypatch):
    """What the page is filled with: contender n's epochs take n seconds."""
    planted = {
        name: [training(n, startup=30, accuracies=(0.9, 0.925))] * 3
        for n, name in enumerate(bench.CONTENDERS, 1)
    }
    numpy_seconds = bench.epoch_seconds(planted[bench.NUMPY][0])
    for images in bench.SIZES:  # as fast per image as 50,000, times two
        planted[images] = [training(2 * numpy_seconds * images / 50_000)] * 3
    monkeypatch.setattr(bench, "machine", lambda: "a processor")
    return bench.values(planted)


def cells_of(table):
    """Return {name: the other cells} of a Markdown table's rows."""
    rows = [row.strip("|").split("|") for row in table.split("\n") if row]
    return {row[0].strip(): [cell.strip() for cell in row[1:]] for row in rows}


def test_both_tables_show_every_contender_s_own_numbers(values):
    epoch = cells_of(values["one epoch"])
    whole = cells_of(values["whole training"])
    numpy = list(bench.CONTENDERS).index(bench.NUMPY) + 1
    for n, name in enumerate(bench.CONTENDERS, 1):
        ratios = [f"{n:.2f}", f"{n / numpy:.2f}"]
        assert epoch[name] == [f"{n}.000", f"{n}.000–{n}.000", *ratios]
        if name != bench.FLOOR:
            seconds = f"{30 + 2 * n}.0"
            assert whole[name] == [seconds, "2 (3 of 3)", "– (0 of 3)"]


def test_growth_is_the_time_per_image(values):
    for images in bench.SIZES:
        assert f"2.00 with {images:,}" in values["growth"]


def test_the_page_has_a_place_for_each_value(values):
    page = bench.PAGE.read_text("utf-8")
    assert {name.strip() for name, _ in MARKER.findall(page)} == set(values)
    assert "2.00 with 5,000" in bench.filled(page, values)
