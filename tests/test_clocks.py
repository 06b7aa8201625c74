"""The clocks: what each level's time begins with, ends with, and leaves out.

In place of the module `time` stands a clock that only moves when told so.
"""

import numpy as np
import pytest
from conftest import LEVEL_3, Clock, run_cells

START_UP = 100
EPOCHS = [3, 5, 11, 4, 9]  # seconds each


@pytest.fixture
def clock():
    return Clock()


def test_report_tells_training_from_start_up_and_adds_up_both(names):
    ticks = 1000 + np.cumsum([0, START_UP + 3, 5, 11, 4, 9])
    history = {"ticks": list(ticks), "valid_accuracy": [0.1, 0.3, 0.2, 0.3, 0.1]}
    report = names["report"]({"epochs": 5}, history, 0.25)
    assert report == {
        "epochs": 5,
        "valid_accuracy": 0.3,
        "test_accuracy": 0.25,
        "training_seconds": 5 * 9,  # the median of 103, 5, 11, 4, 9
        "startup_seconds": START_UP + 3 - 9,
        "together_seconds": START_UP + 3 + 5 + 11 + 4 + 9,
    }


def test_first_epoch_that_happens_to_be_fast_has_no_start_up(names):
    history = {"ticks": [0, 1, 3, 5], "valid_accuracy": [0.1] * 3}
    assert names["report"]({}, history, 0.1)["startup_seconds"] == 0


class KerasModel:
    """Fits nothing; calls the callbacks as Keras does, and spends time."""

    def __init__(self, clock):
        self.clock = clock
        self.clock.spend(START_UP)

    def fit(self, *data, epochs, callbacks, **options):
        for epoch in range(epochs):
            self.clock.spend(EPOCHS[epoch])
            for callback in callbacks:
                if type(callback).__name__ == "LambdaCallback":
                    callback.on_epoch_end(epoch, {})
        self.clock.spend(1000)  # the best weights come back
        self.history = {"val_accuracy": [0.5]}
        return self


def test_keras_is_timed_from_the_call_to_the_last_epoch(names, clock):
    run_cells(names, *(f"level-1-{part}" for part in ("import", "data", "fit")))
    names |= {"time": clock, "new_model": lambda rate: KerasModel(clock)}
    _, history = names["fit_model"](0.5, 250, len(EPOCHS))
    assert np.diff(history["ticks"]).tolist() == [START_UP + 3, 5, 11, 4, 9]


def test_theano_is_timed_from_the_call_to_the_last_epoch(names, clock):
    """A step takes a second, and a score as long as the epoch has a number."""
    parts = "import", "model", "epochs", "main"
    run_cells(names, *(f"level-2-{part}" for part in parts))
    train_epochs, spans = names["train_epochs"], iter([1, 2, 3])

    class SlowModel(names["LogisticRegression"]):
        def __init__(self):
            clock.spend(START_UP)
            super().__init__()

    def slow_epochs(model, train, evaluate, *arguments):
        def slow_train(start):
            clock.spend(1)

        def slow_evaluate(*valid_set):
            clock.spend(next(spans))
            return evaluate(*valid_set)

        return train_epochs(model, slow_train, slow_evaluate, *arguments)

    names |= {"time": clock, "LogisticRegression": SlowModel}
    names |= {"train_epochs": slow_epochs}
    few = names["X_train"], names["y_train"]  # 1,030 images: five batches
    _, history, _ = names["main"](few, few, few, 0.5, 250, 3)
    assert np.diff(history["ticks"]).tolist() == [START_UP + 5 + 1, 5 + 2, 5 + 3]


def test_numpy_is_timed_from_the_call_to_the_last_epoch(names, clock):
    run_cells(names, *LEVEL_3)
    gradients, evaluate = names["gradients"], names["evaluate"]
    spans = iter([1, 2, 3])

    def slow_gradients(*arguments):
        clock.spend(1)
        return gradients(*arguments)

    def slow_evaluate(*arguments):
        clock.spend(next(spans))
        return evaluate(*arguments)

    names |= {"time": clock, "gradients": slow_gradients, "evaluate": slow_evaluate}
    X, Y_true, validation = names["X"], names["Y_true"], names["validation"]
    _, _, history = names["sgd"](X, Y_true, *validation, 0.5, 250, 3)
    assert np.diff(history["ticks"]).tolist() == [5 + 1, 5 + 2, 5 + 3]
