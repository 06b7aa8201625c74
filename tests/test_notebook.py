"""hw1.ipynb as a grader and a learner get it: complete, executed, in order."""

import re
import symtable

import pytest
from common import MARKER
from conftest import CODE, ROOT, SOURCE, TEXT, cells_of, numbers

PROSE = "\n\n".join(cell.source for cell in TEXT)
OUTPUTS = [(cell.id, output) for cell in CODE for output in cell.outputs]
ASKED = ["1", "2", "3", "3.1", "3.2", "4", "4.1", "5"]
ASKED += ["6", "6.1", "6.2", "6.2.1", "6.2.2", "7"]


def test_has_what_is_asked():
    numbered = re.findall(r"^#+ (\d+(?:\.\d+)*) ", PROSE, re.MULTILINE)
    assert [number for number in numbered if number in ASKED] == ASKED
    code = "\n".join(SOURCE[cell_id] for cell_id in cells_of("5") + cells_of("6"))
    for name in "score", "test_accuracy", "main", "softmax", "sgd", "evaluate":
        assert f"def {name}(" in code, f"{name}() is missing"
    assert "class LogisticRegression" in code


def test_level_3_imports_numpy_only():
    """Apart from what draws, and the clock."""
    code = "\n".join(SOURCE[cell_id] for cell_id in cells_of("6"))
    modules = re.findall(r"^ *(?:import|from) (\S+)", code, re.MULTILINE)
    assert set(modules) == {"time", "matplotlib.pyplot", "numpy"}


@pytest.mark.parametrize("section", "4567")
def test_takes_all_images(section):
    """No forgotten [:1000]; the check of the gradients is the exception."""
    for cell_id in cells_of(section):
        found = re.search(r":\s*\d[\d_]*\]", SOURCE[cell_id])
        assert not found or cell_id == "level-3-check", f"{cell_id} leaves images out"


SCORES = {  # cells that read the test set, and choose nothing by it
    *("load-data", "level-1-model", "level-1-test", "level-2-main", "level-2-train"),
    *("level-3-test", "paired-test", "orders", "nearest"),
}


def own_and_read_names(source):
    """Return the names that a cell defines, and those that it reads from others.

    What it imports does not count: it is the same wherever it is imported.
    """
    source = re.sub("^%", "# %", source, flags=re.MULTILINE)
    tables, own, read = [symtable.symtable(source, "cell", "exec")], set(), set()
    for table in tables:  # of the cell, then of its functions
        tables += table.get_children()
        for symbol in table.get_symbols():
            if table is tables[0] and symbol.is_assigned() and not symbol.is_imported():
                own.add(symbol.get_name())
            if symbol.is_referenced() and (table is tables[0] or symbol.is_global()):
                read.add(symbol.get_name())
    return own, read - own


CELLS = {cell.id: own_and_read_names(cell.source) for cell in CODE}


def test_shared_names_have_one_writer():
    """Else the last writer wins, when a learner runs a cell in the middle again."""
    for name in set().union(*(own for own, _ in CELLS.values())):
        writers = [cell_id for cell_id, (own, _) in CELLS.items() if name in own]
        readers = [cell_id for cell_id, (_, read) in CELLS.items() if name in read]
        assert len(writers) == 1 or not readers, f"{writers} write {name} for {readers}"


def test_test_set_only_scores():
    for cell_id, (_, read) in CELLS.items():
        scores = read & {"X_test", "y_test", "test", "test_keras", "main"}
        assert not scores or cell_id in SCORES, f"{cell_id} reads the test set"


def test_stored_run_is_clean():
    counts = [cell.execution_count for cell in CODE]
    assert counts == [*range(1, len(CODE) + 1)], "make run stores it so"
    for cell_id, output in OUTPUTS:
        assert output.output_type != "error", f"{cell_id} failed"
        assert output.get("name") != "stderr", f"{cell_id} wrote a warning"
        assert set(output.get("data", {})) <= {"text/plain", "image/png"}, cell_id


@pytest.mark.parametrize("level", "123")
def test_published_results_were_printed(level):
    said = [each.get("text") for i, each in OUTPUTS if i.startswith(f"level-{level}")]
    report = [value for _, value in MARKER.findall(SOURCE[f"level-{level}-report"])]
    measured = [value for value in report if value.endswith(("%", " s"))]
    assert len(measured) >= 2, "the report is empty: make run"
    for value in measured:
        assert any(value in text for text in said if text), f"stale {value}: make run"
    title = MARKER.sub(r"\2", SOURCE["title"])
    assert measured[0] in title and measured[-1] in title, "stale: make run"
    assert 90 < numbers(measured[0])[0] < 94, "the text says about 92%"


def test_links_lead_somewhere():
    readme = (ROOT / "README.md").read_text("utf-8")
    headings = re.findall(r"^#+ (.+)$", PROSE, re.MULTILINE)
    anchors = {"#" + heading.replace(" ", "-") for heading in headings}
    for link in re.findall(r"\]\(([^)\s]+)\)", PROSE + readme):
        known = link in anchors or (ROOT / link).exists()
        assert known or link.startswith("http"), f"{link} leads nowhere"
