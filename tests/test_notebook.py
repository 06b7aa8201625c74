"""The notebook as a grader gets it: the assignment's lists, its size, a new run."""

import ast
import re
import statistics

import pytest
from conftest import ROOT, SAID, code_of
from numpy.testing import assert_array_equal
from run import MARKER

README = (ROOT / "README.md").read_text()


@pytest.fixture(scope="module")
def text(notebook):
    return text_of(notebook.cells)


@pytest.fixture(scope="module")
def code(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def text_of(cells):
    return "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")


def nodes(source, kind):
    return [node for node in ast.walk(ast.parse(source)) if isinstance(node, kind)]


def names_in(source):
    return {node.id for node in nodes(source, ast.Name)}


def calls_in(source):
    return {ast.unparse(node.func) for node in nodes(source, ast.Call)}


def assert_executed(code):
    """All cells ran, in order, and left neither errors nor anything on stderr."""
    assert [cell.execution_count for cell in code] == [*range(1, len(code) + 1)]
    outputs = [output for cell in code for output in cell.outputs]
    assert not {"error", "stderr"} & {o.get("name", o.output_type) for o in outputs}


# --- The assignment ---
def test_sections_are_those_of_the_assignment(text):
    numbered = re.findall(r"^#+ (\d.*)$", text, re.MULTILINE)
    assert numbered == SAID["sections"]


def test_sets_are_the_assignment_s_and_shuffled_as_the_text_says(kernel, data):
    for part, (X, y) in data.items():
        assert_array_equal(kernel(get=f"X_{part}"), X)
        assert_array_equal(kernel(get=f"y_{part}"), y)


def test_levels_have_the_parts_that_the_assignment_names(kernel):
    for expression, value in SAID["holds"].items():
        assert kernel(get=expression) == value, expression
    for cell, calls in SAID["calls"].items():
        assert not set(calls) - calls_in(kernel.sources[cell]), cell


def test_level_3_calls_functions_of_numpy_and_its_own_only(notebook):
    """Apart from what draws, and the clock."""
    source = "\n".join(code_of(notebook, "6 Level 3"))
    own = {node.name for node in nodes(source, ast.FunctionDef)}
    assert {"softmax", "sgd", "evaluate", "gradients", "one_hot"} <= own
    imports = {ast.unparse(each) for each in nodes(source, ast.Import | ast.ImportFrom)}
    assert imports == {*SAID["imports-of-level-3"]}
    others = {"keras", "theano", "T", "model", "regression", "main"}
    assert not names_in(source) & others
    built_in = {"range", "print", "zip", "enumerate", "slice", "ValueError", "show"}
    assert {call for call in calls_in(source) if "." not in call} <= own | built_in


def test_the_test_set_chooses_nothing(code):
    users = [cell.id for cell in code if names_in(cell.source) & {"X_test", "y_test"}]
    assert users == SAID["users-of-the-test-set"]


# --- The file ---
def test_stored_notebook_is_executed_small_named_and_described(notebook, code):
    assert_executed(code)
    assert "widgets" not in notebook.metadata
    assert (ROOT / "hw1.ipynb").stat().st_size < 1_000_000
    for cell in notebook.cells:
        assert re.fullmatch(r"[a-z]{3,}(-[a-z0-9]+)*", cell.id)
    metadata = [output.get("metadata") for cell in code for output in cell.outputs]
    alts = [each["image/png"]["alt"] for each in metadata if each]
    assert len(set(alts)) == 7 and min(map(len, alts)) > 40


def test_reading_it_takes_no_longer_than_it_may(notebook, code):
    lines = [len(re.findall(r"^.*\S", cell.source, re.MULTILINE)) for cell in code]
    assert len(lines) <= 46 and sum(lines) <= 360
    assert statistics.median(lines) <= 5 and max(lines) <= 40
    first_model = [cell.id for cell in notebook.cells].index("level-1-parameters")
    ahead = notebook.cells[:first_model]
    assert sum(lines[: sum(cell.cell_type == "code" for cell in ahead)]) <= 30
    for cells, limit in (notebook.cells, 3_340), (ahead, 700):
        words = re.findall(r"\S*\w\S*", MARKER.sub(r"\2", text_of(cells)))
        assert len(words) <= limit


def test_no_measured_number_is_typed(text):
    readme = re.sub(r"^(?:    .*\n)+", "", README, flags=re.MULTILINE)
    measured = r"\d+\.\d+ ?%|\b\d[\d.,]* (?:s|ms|seconds)\b"
    assert not re.findall(measured, MARKER.sub("", text + readme))


def test_text_and_readme_state_the_stored_reports(text, notebook, code):
    cells = [cell for cell in code if re.fullmatch("level-.-report", cell.id)]
    stored = [ast.literal_eval(cell.outputs[0].data["text/plain"]) for cell in cells]
    names = "keras_report", "theano_report", "numpy_report"
    reports = dict(zip(names, stored, strict=True))
    for expression, value in MARKER.findall(text + README):
        if names_in(expression.strip()) <= set(reports):
            assert value == str(eval(expression, reports.copy()))
    rows = re.findall(r"^\| Level .*", notebook.cells[0].source, re.MULTILINE)
    assert len(rows) == 3 and all(row in README for row in rows)


def printed(cells):
    return {cell.id: o.text for cell in cells for o in cell.outputs if "text" in o}


@pytest.fixture(scope="module")
def fresh(kernel):
    """The notebook as `make run` wrote it, with the two cells of the tests."""
    return kernel.finish()


def test_make_run_writes_results_like_the_stored_ones(fresh, kernel, code, text):
    *cells, _ = [cell for cell in fresh.cells if cell.cell_type == "code"]
    assert_executed(cells)
    written = dict(MARKER.findall(text_of(fresh.cells)))
    for expression, value in MARKER.findall(text):
        # Another machine rounds otherwise, and another epoch may be the best: that of
        # the largest rate, [-1], by far.
        if re.search(r"\.[12]%}", expression) and "[-1]" not in expression:
            found = float(written[expression].rstrip("%"))
            assert found == pytest.approx(float(value.rstrip("%")), abs=0.5)
    kinds = [
        [(o.output_type, o.get("metadata")) for cell in each for o in cell.outputs]
        for each in (code, cells)
    ]
    assert kinds[0] == kinds[1]
    stored, new = printed(code), printed(cells)
    for name in stored:
        both = stored[name], new[name]
        words = [re.sub(r"[-+.e\d]+|on .*", "#", each) for each in both]
        percents = [[*map(float, re.findall(r"(\S+)%", each))] for each in both]
        assert words[0] == words[1] and percents[0] == pytest.approx(percents[1], abs=1)
    readme = (kernel.folder / "README.md").read_text()
    assert dict(MARKER.findall(readme)).items() <= written.items()
