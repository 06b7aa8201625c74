"""Each number of the text and the reports, each clock, each comparison."""

import numpy as np
import pytest
from conftest import SAID, scores, textbook
from numpy.testing import assert_allclose, assert_array_equal
from run import MARKER

RATES = [10.0**k for k in range(-10, 3)]
KEYS = ["learning_rate", "batch_size", "epochs"]
KEYS += ["valid_accuracy", "test_accuracy", "seconds", "epoch_seconds"]
WEIGHTS = {
    "keras": "model.get_weights()",
    "theano": "(regression.W.get_value(), regression.b.get_value())",
    "numpy": "runs[best][3:5]",
}


def test_every_number_of_the_text_is_what_its_sentence_says(notebook, kernel):
    """The expressions see planted numbers, no two the same."""
    cells = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
    text = " ".join(" ".join(cells).split())
    expressions = [*dict(MARKER.findall(text))]
    asked = ", ".join(f"str({each})" for each in expressions)
    values = kernel("plant", get=f"[{asked}]")
    said = dict(zip(expressions, values, strict=True))
    text = MARKER.sub(lambda marker: f"«{said[marker[1]]}»", text)
    for sentence in SAID["text"]["sentences"].strip().splitlines():
        before, found, text = text.partition(sentence)
        assert found, f"not in the text, or not here: {sentence}"
        assert "«" not in before, f"no sentence expects a number in: {before}"
    assert "«" not in text


# --- The reports ---
@pytest.mark.parametrize("level", WEIGHTS)
def test_report_states_what_the_weights_score(level, kernel, data):
    report, weights = kernel(get=f"{level}_report, {WEIGHTS[level]}")
    assert list(report) == KEYS
    # Twenty orders of the images gave numpy a mean test accuracy of 92.39%, and a
    # standard deviation of 0.16: the floor lies three of those below.
    floors = {"valid": 0.927 if level == "keras" else 0.928, "test": 0.919}
    for part, floor in floors.items():
        accuracy = scores(*data[part], *weights)[1]
        assert report[f"{part}_accuracy"] == pytest.approx(accuracy, abs=1e-6)
        assert accuracy >= floor


def test_levels_2_and_3_find_what_the_textbook_finds(kernel, data):
    """With the parameters of their reports, and the same orders of the same batches."""
    histories = {"theano": "theano_history", "numpy": "[row[1] for row in history]"}
    for level, history in histories.items():
        report, found = kernel(get=f"{level}_report, {WEIGHTS[level]}")
        parameters = [report[key] for key in KEYS[:3]]
        W, b, expected = textbook(data["train"], data["valid"], *parameters)
        assert_allclose(found[0], W, atol=1e-4)
        assert_allclose(found[1].ravel(), b, atol=1e-4)
        assert_allclose(kernel(get=history), [row[1] for row in expected], atol=5e-4)


def test_numbers_on_the_way_are_those_of_the_weights(kernel, data):
    (X, y), (W, b) = data["valid"], kernel(get=WEIGHTS["numpy"])
    Z, sets = (X @ W + b.T).T, (data["train"], data["valid"])
    confusion = np.histogram2d(y, Z.argmax(axis=0), bins=10)[0]
    expected = {
        "train_accuracy": scores(*data["train"], *kernel(get=WEIGHTS["keras"]))[1],
        "keras_history": kernel(get="model.history.history['val_accuracy']"),
        "[(first_loss, first_accuracy)]": textbook(*sets, 1.0, 250, 1)[2],
        "confusion": confusion,
        "errors": confusion - np.diag(np.diag(confusion)),
        "wrong": np.flatnonzero(Z.argmax(axis=0) != y),
        "certainty": 1 / np.exp(Z - Z.max(axis=0)).sum(axis=0),
        "formula / measured": 1,
        "max(differences) + 1": 1,
    }
    for expression, value in expected.items():
        assert_allclose(kernel(get=expression), value, rtol=1e-5, err_msg=expression)


def test_sweep_scores_the_weights_of_each_rate_and_takes_the_best(kernel, data):
    runs = kernel(get="[(run[:2], run[3:5]) for run in runs]")
    expected = [scores(*data["valid"], *weights) for _, weights in runs]
    assert_allclose([found for found, _ in runs], expected, rtol=1e-5)
    assert_allclose(kernel(get="losses, accuracies"), np.transpose(expected), rtol=1e-5)
    best = np.argmax([accuracy for _, accuracy in expected])
    assert kernel(get="best, numpy_report['learning_rate']") == (best, RATES[best])


# --- The clocks ---
SIZES = {"train": 1000, "valid": 99}  # in the step `clock`
SPANS = [n * n % 103 for n in range(1, 13 * 21 + 1)]  # of the epochs, there too


def test_keras_keeps_its_best_epoch_and_reports_the_time_of_fit(kernel, data):
    steps = "level-1-parameters clock level-1-data level-1-model level-1-compile"
    steps += " level-1-callbacks spend-in-keras not-training level-1-train not-training"
    steps += " level-1-evaluate level-1-report"
    get = "keras_report, keras_history, seen, batches[0], model.get_weights()"
    report, history, seen, (X, Y, sizes), kept = kernel(steps, get=get)
    assert report["seconds"] == 100 + sum(SPANS[:20])
    assert report["epoch_seconds"] == np.median(SPANS[1:20])
    assert sizes == (report["batch_size"], report["epochs"])
    assert_array_equal(X, data["train"][0][:1000])
    assert_array_equal(Y, np.eye(10)[data["train"][1][:1000]])
    few = [part[:99] for part in data["valid"]]
    accuracies = [scores(*few, W, b)[1] for W, b, _ in seen]
    assert_allclose(history, accuracies, atol=1e-6)
    assert_array_equal(kept[0], seen[np.argmax(accuracies)][0])
    assert max(accuracies) > accuracies[-1]  # or keeping the last would do
    assert report["valid_accuracy"] == max(history)
    few = [part[:90] for part in data["test"]]
    assert report["test_accuracy"] == scores(*few, *kept)[1]
    again = kernel(steps, get="model.get_weights()")
    assert_array_equal(again[0], kept[0])


def test_sweep_trains_with_each_rate_and_reports_the_time_of_the_best(kernel, data):
    steps = "clock spend-in-numpy level-3-train level-3-sweep level-3-best level-3-test"
    get = "numpy_report, best, [run[:3] for run in runs], printed.getvalue()"
    report, best, runs, printed = kernel(steps + " level-3-report", get=get)
    seconds = [run[2] for run in runs]
    # Each rate scores 20 epochs, and once more after the clock is read.
    spans = np.reshape(SPANS, (13, 21))[:, :20]
    assert_allclose(seconds, spans.sum(axis=1) + 20 * 4 * 0.25)
    few = [[part[:size] for part in data[name]] for name, size in SIZES.items()]
    for rate, run in zip(RATES[:11], runs, strict=False):
        W, b, _ = textbook(*few, rate, 250, 20)
        assert_allclose(run[:2], scores(*few[1], W, b), rtol=0.02)  # epochs may tie
    assert best == np.argmax([run[1] for run in runs])
    assert best < 12 and seconds[best] != seconds[-1]
    assert report["seconds"] == seconds[best]
    assert report["learning_rate"] == RATES[best]
    assert report["epoch_seconds"] == np.median(spans[best, 1:]) + 4 * 0.25
    *lines, said_best, said_test = printed.splitlines()
    for rate, (loss, accuracy, time), line in zip(RATES, runs, lines, strict=True):
        numbers = f"{rate:g} {100 * accuracy:.2f}% loss {loss:.3f} {time:.1f} s"
        assert line.split() == numbers.split()
    assert said_best == f"best learning rate: {RATES[best]:g}"
    accuracy = f"{100 * report['test_accuracy']:.2f}%"
    assert said_test == f"learning rate {RATES[best]:g}: test accuracy {accuracy}"


@pytest.mark.parametrize("steps", SAID["after"])
def test_after_these_steps_this_holds(steps, kernel):
    """`clone_model` is that of steps.toml."""

    def edit(source):
        return source.replace("keras.models.clone_model(", "moved_clone_model(")

    expressions = [*SAID["after"][steps]]
    found = kernel(steps, get=f"[{', '.join(expressions)}]", edit=edit)
    assert dict(zip(expressions, found, strict=True)) == SAID["after"][steps]
