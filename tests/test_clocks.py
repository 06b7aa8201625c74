"""The clocks: what each level's time begins with, ends with, and leaves out.

In place of the module `time` stands a clock that only moves when told so.
"""

import itertools

import numpy as np
import pytest
from conftest import LEVEL_3, Clock, run_cells

START_UP = 100
EPOCHS = [3, 5, 11, 4, 9]  # seconds each
MEDIAN = (
    9  # of 103, 5, 11, 4 and 9: with the start-up, which the mean would show
)


@pytest.fixture
def clock():
    return Clock()


class KerasModel:
    """Fits nothing; calls the callbacks as Keras does, and spends time."""

    def __init__(self, clock):
        self.clock = clock

    def fit(self, *data, epochs, callbacks, **options):
        self.clock.spend(START_UP)
        for epoch in range(epochs):
            self.clock.spend(EPOCHS[epoch])
            for callback in callbacks:
                if type(callback).__name__ == "LambdaCallback":
                    callback.on_epoch_end(epoch, {})
        self.clock.spend(1000)  # the best weights come back
        self.history = {"accuracy": [0.5], "val_accuracy": [0.5]}
        return self


def test_keras_training_is_epochs_times_median_after_the_start_up(names, clock):
    run_cells(names, "level-1-parameters", "level-1-data")
    names |= {"time": clock, "model": KerasModel(clock), "epochs": len(EPOCHS)}
    steps = "callbacks", "train", "time"
    run_cells(names, *(f"level-1-{step}" for step in steps))
    assert names["training_seconds"] == 5 * MEDIAN
    assert names["startup_seconds"] == START_UP + EPOCHS[0] - MEDIAN


def test_theano_training_is_epochs_times_median_after_compiling(names, clock):
    spans = iter(EPOCHS)

    def train(start):
        clock.spend(0.25)

    def evaluate(images, labels):
        clock.spend(
            next(spans, 1000)
        )  # at last the test set, which counts nowhere
        return np.float32(0.5)

    def compile_functions(*arguments):
        clock.spend(START_UP)
        return train, evaluate

    parts = "import", "data", "model", "compile", "main", "parameters"
    run_cells(names, *(f"level-2-{part}" for part in parts))
    names |= {"time": clock, "compile_functions": compile_functions}
    names |= {"epochs": len(EPOCHS), "batch_size": 250}
    run_cells(names, "level-2-train", "level-2-time")
    batches = 5 * 0.25  # 1,030 images in batches of 250
    assert names["training_seconds"] == 5 * (MEDIAN + batches)
    assert names["startup_seconds"] == START_UP + EPOCHS[0] - MEDIAN


@pytest.fixture
def sweep(names, clock):
    """The sweep of Level 3, where gradients and scores take known seconds."""
    run_cells(names, *LEVEL_3)
    gradients, evaluate = names["gradients"], names["evaluate"]
    calls = itertools.count()

    def slow_gradients(*arguments):
        clock.spend(1)
        return gradients(*arguments)

    def slow_evaluate(*arguments):
        rate, epoch = divmod(next(calls), names["epochs"] + 1)
        if (
            epoch == names["epochs"]
        ):  # after the training, for the table: counts nowhere
            clock.spend(1000)
        else:  # each rate slower than the one before, and every third epoch
            clock.spend(rate + 10 * (epoch % 3 == 0))
        return evaluate(*arguments)

    names |= {
        "time": clock,
        "gradients": slow_gradients,
        "evaluate": slow_evaluate,
    }
    return run_cells(names, "level-3-sweep", "level-3-best")


def test_sgd_notes_the_time_after_each_epoch_with_its_scoring(sweep):
    ticks = [tick for _, _, tick in sweep["runs"][0].history]
    batches = len(range(0, 1030, sweep["batch_size"]))
    # Then comes a validation set that takes 10 s, 0 s, 0 s in turn.
    assert np.diff([0, *ticks[:4]]).tolist() == [
        batches + 10,
        batches,
        batches,
        batches + 10,
    ]


def test_sweep_counts_the_epochs_of_each_rate_alone(sweep):
    batches = len(range(0, 1030, sweep["batch_size"]))
    for rate, run in enumerate(sweep["runs"]):
        assert run.seconds == sweep["epochs"] * (batches + rate)


def test_numpy_reports_the_time_of_the_best_rate(sweep):
    run_cells(sweep, "level-3-test", "level-3-report")
    assert sweep["numpy_report"]["training_seconds"] == sweep["best"].seconds
    assert sweep["best"].seconds != sweep["runs"][-1].seconds
