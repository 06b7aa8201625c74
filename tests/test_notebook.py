"""hw1.ipynb as a grader and a reader get it: complete, executed, consistent."""

import ast
import base64
import re

import numpy as np
import pytest
from conftest import CODE, NOTEBOOK, ROOT, SOURCE, TEXT, cells_of
from run import MARKER

README = (ROOT / "README.md").read_text("utf-8")
PROSE = "\n\n".join(cell.source for cell in TEXT)
OUTPUTS = [(cell.id, output) for cell in CODE for output in cell.outputs]
FIGURES = {
    cell_id: output
    for cell_id, output in OUTPUTS
    if "image/png" in output.get("data", {})
}
LEVELS = {1: "keras_report", 2: "theano_report", 3: "numpy_report"}


def nodes(source, kind):
    return [
        node for node in ast.walk(ast.parse(source)) if isinstance(node, kind)
    ]


def names_in(source):
    return {node.id for node in nodes(source, ast.Name)}


def calls_in(source):
    return {ast.unparse(node.func) for node in nodes(source, ast.Call)}


# --- The assignment ---


def test_sections_have_the_numbers_of_the_assignment():
    numbered = re.findall(r"^#+ (\d+(?:\.\d+)*) ", PROSE, re.MULTILINE)
    asked = ["1", "2", "3", "3.1", "3.2", "4", "4.1", "5", "6", "6.1", "6.2"]
    assert [number for number in numbered if number in asked] == asked
    assert numbered[len(asked) :][:3] == ["6.2.1", "6.2.2", "7"]


def test_level_1_has_the_five_parts_of_the_assignment():
    calls = calls_in("\n".join(SOURCE[cell_id] for cell_id in cells_of("4 ")))
    parts = {"keras.Sequential", "model.add", "model.compile", "model.fit"}
    assert calls >= parts | {"model.predict"}


def test_level_2_has_the_class_and_the_functions_of_the_assignment():
    source = "\n".join(SOURCE[cell_id] for cell_id in cells_of("5 "))
    (model,) = nodes(source, ast.ClassDef)
    assert model.name == "LogisticRegression"
    functions = {node.name for node in nodes(source, ast.FunctionDef)}
    assert functions >= {"score", "test_accuracy", "main"}
    used = {
        "T.nnet.softmax",
        "T.log",
        "T.grad",
        "theano.function",
        "theano.shared",
    }
    assert calls_in(source) >= used


def test_level_3_calls_functions_of_numpy_and_its_own_only():
    """Apart from what draws, the clock, and Python's own."""
    source = "\n".join(SOURCE[cell_id] for cell_id in cells_of("6 "))
    own = {node.name for node in nodes(source, ast.FunctionDef)}
    assert own >= {"softmax", "sgd", "evaluate"}
    imports = nodes(source, ast.Import | ast.ImportFrom)
    imported = [ast.unparse(node) for node in imports]
    allowed = [
        "import time",
        "from collections import namedtuple",
        "import matplotlib.pyplot as plt",
        "import numpy as np",
    ]
    assert sorted(imported) == sorted(allowed)
    others = {
        "keras",
        "theano",
        "T",
        "model",
        "regression",
        "main",
        "load_mnist",
    }
    assert not names_in(source) & others


def test_test_set_is_read_only_where_a_chosen_model_is_scored():
    users = [
        cell.id for cell in CODE if names_in(cell.source) & {"X_test", "y_test"}
    ]
    assert users == [
        "load-data",
        "class-balance",
        "level-1-evaluate",
        "level-2-data",  # handed to `main`, which scores it last
        "level-3-test",
        "comparison-agreement",
        "comparison-orders",
        "comparison-yardstick",
    ], "does the new cell choose anything by the test set? If not, list it here"


def test_pros_and_cons_stand_under_their_library(executed):
    """The names in each column are those of its library."""
    keras, theano = executed.names["keras"], executed.names["theano"]
    homes = [keras.Model, keras.utils], [theano, theano.tensor]
    rows = re.findall(r"^\|[^|]*\|(.*)\|$", SOURCE["keras-or-theano"], re.M)
    assert [title.strip() for title in rows[0].split("|")] == [
        "Keras",
        "Theano",
    ]
    for column, places in enumerate(homes):
        text = " ".join(row.split("|")[column] for row in rows)
        names = re.findall(r"`(?:T\.)?(\w+)`", text)
        assert len(names) > 2
        for name in names:
            assert any(hasattr(place, name) for place in places), name


# --- The reports ---


def report_with(number):
    """Return a report, each of whose values tells this number."""
    return {
        "learning_rate": number + 0.5,
        "batch_size": number + 10,
        "epochs": number + 20,
        "valid_accuracy": (number + 30) / 100,
        "test_accuracy": (number + 40) / 100,
        "training_seconds": number + 50.5,
        "startup_seconds": number + 60.5,
        "modules_found": number + 70,
        "modules_made": number + 80,
    }


REPORTS = {name: report_with(level) for level, name in LEVELS.items()}


def filled(text):
    """Return a text as `make run` would fill it from these reports."""
    return MARKER.sub(lambda match: eval(match[1].strip(), dict(REPORTS)), text)


@pytest.mark.parametrize("level", LEVELS)
def test_report_has_what_the_assignment_asks_of_its_own_level(level):
    rows = filled(SOURCE[f"level-{level}-report-text"]).replace("*", "").lower()
    asked = {
        "learning rate": f"{level + 0.5:g}",
        "batch size": f"{level + 10}",
        "epochs": f"{level + 20}",
        "validation accuracy": f"{level + 30}.00%",
        "test accuracy": f"{level + 40}.00%",
        "run time": f"{level + 50.5} s",
    }
    for name, value in asked.items():
        (row,) = [
            row
            for row in rows.splitlines()
            if re.match(rf"\|.*{name}.*\|", row)
        ]
        assert value in row.split("|")[2], row
    for expression, _ in MARKER.findall(SOURCE[f"level-{level}-report-text"]):
        assert names_in(expression.strip()) == {LEVELS[level]}


@pytest.mark.parametrize(
    "text", [SOURCE["title"], README], ids=["title", "README"]
)
def test_table_at_the_top_has_the_results_of_each_level(text):
    rows = re.findall(
        r"^\| Level (\d), \w+ \|(.*)\|$", filled(text), re.MULTILINE
    )
    assert [int(level) for level, _ in rows] == list(LEVELS)
    for level, values in rows:
        accuracy, training, start_up = (
            value.strip() for value in values.split("|")
        )
        assert accuracy == f"{int(level) + 40}.00%"
        assert training == f"{int(level) + 50.5} s"
        assert start_up == (
            "none" if level == "3" else f"{int(level) + 60.5} s"
        )


def test_filled_values_stand_in_the_reports_and_the_tables_only():
    reports = {f"level-{level}-report-text" for level in LEVELS}
    marked = {cell.id for cell in TEXT if MARKER.search(cell.source)}
    assert marked == reports | {"title"}, "show a number where it is measured"


def printed(cell_id):
    return "".join(
        output.get("text", "") for i, output in OUTPUTS if i == cell_id
    )


@pytest.mark.parametrize(
    "level, cells",
    [
        (1, ["level-1-evaluate", "level-1-time"]),
        (2, ["level-2-train", "level-2-time"]),
        (3, ["level-3-test", "level-3-sweep"]),
    ],
)
def test_stored_reports_are_what_the_stored_outputs_say(level, cells):
    shown = "\n".join(printed(cell_id) for cell_id in cells)
    report = MARKER.sub(r"\2", SOURCE[f"level-{level}-report-text"])
    percents = re.findall(r"\d+\.\d+%", report)
    assert len(percents) == 2 and all(percent in shown for percent in percents)
    for text in SOURCE["title"], README:
        (row,) = re.findall(rf"^\| Level {level}, .*", text, re.MULTILINE)
        values = [value for _, value in MARKER.findall(row)]
        assert values and all(value in report for value in values)


FLOORS = {1: (92.7, 91.9), 2: (92.8, 91.9), 3: (92.8, 91.9)}


@pytest.mark.parametrize("level", FLOORS)
def test_published_accuracies_are_not_below_their_floors(level):
    report = MARKER.sub(r"\2", SOURCE[f"level-{level}-report-text"])
    accuracies = [float(each) for each in re.findall(r"(\d+\.\d+)%", report)]
    for accuracy, floor in zip(accuracies, FLOORS[level], strict=True):
        assert accuracy >= floor, (
            "lower than published: other parameters were run"
        )


# --- The file ---


def test_notebook_is_stored_as_one_clean_run_from_first_to_last():
    assert [cell.execution_count for cell in CODE] == [*range(1, len(CODE) + 1)]
    for cell_id, output in OUTPUTS:
        assert output.output_type != "error", f"{cell_id} failed"
        assert output.get("name") != "stderr", f"{cell_id} wrote a warning"
    assert "widgets" not in NOTEBOOK.metadata
    assert (ROOT / "hw1.ipynb").stat().st_size < 1_000_000


def test_cells_have_names_that_say_something():
    for cell in NOTEBOOK.cells:
        assert re.fullmatch(r"[a-z]{3,}(-[a-z0-9]+)*", cell.id), cell.id


def test_figures_are_sharp_described_and_fit_a_page():
    assert FIGURES
    described = [
        output.metadata["image/png"]["alt"] for output in FIGURES.values()
    ]
    assert (
        len(set(described)) == len(described) and min(map(len, described)) > 40
    )
    for cell_id, output in FIGURES.items():
        shown, png = output.metadata["image/png"], output.data["image/png"]
        # The header of a PNG holds its width and height from byte 16 on.
        size = np.frombuffer(base64.b64decode(png), ">i4", 2, offset=16)
        assert shown["width"] <= 720, cell_id
        assert size.tolist() == [2 * shown["width"], 2 * shown["height"]], (
            cell_id
        )


def test_readme_shows_a_figure_of_the_notebook():
    (path,) = re.findall(r'<img src="(\S+\.png)"', README)
    stored = {base64.b64decode(o.data["image/png"]) for o in FIGURES.values()}
    assert (ROOT / path).read_bytes() in stored


# --- Links, formulas' shapes ---


def anchors():
    """Return the anchors that JupyterLab makes of the headings."""
    headings = re.findall(r"^#+ (.+)$", PROSE, re.MULTILINE)
    return {heading.replace(" ", "-") for heading in headings}


def test_links_lead_somewhere():
    for name, text in [("hw1.ipynb", PROSE), ("README.md", README)]:
        links = re.findall(r"\]\(([^)\s]+)\)", text)
        links += re.findall(r'(?:src|href)="([^"]+)"', text)
        assert links
        for link in links:
            if link.startswith("#"):
                assert link[1:] in anchors(), f"{name}: no heading for {link}"
            elif not re.match(r"https?://[\w.-]+\.[a-z]+(/|$)", link):
                assert (ROOT / link).exists(), f"{name}: no file {link}"


def test_shapes_in_the_table_of_symbols_are_those_of_the_arrays(executed):
    names = executed.names
    W, b, X, Y_true = (
        names["best_W"],
        names["best_b"],
        names["X"],
        names["Y_true"],
    )
    arrays = {r"\mathbf{X}": X, r"\mathbf{W}": W, r"\mathbf{b}": b}
    arrays |= {r"\mathbf{Y}'": Y_true, r"\mathbf{Z}": W.T @ X + b}
    arrays |= {r"\mathbf{Y}": names["softmax"](W.T @ X + b)}
    row = r"^\| \$(\\mathbf\{\w\}'?).*?\$ \| (\w+) × (\w+) \|"
    found = re.findall(row, SOURCE["problem"], re.MULTILINE)
    assert {symbol for symbol, *_ in found} == arrays.keys()
    for symbol, *sizes in found:
        shape = [X.shape[1] if size == "N" else int(size) for size in sizes]
        assert tuple(shape) == arrays[symbol].shape, symbol
