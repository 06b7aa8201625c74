"""hw1.ipynb as a grader and a learner get it: complete, executed, in order."""

import ast
import dis
import re

import mistune
import pytest
from conftest import (
    CODE,
    ROOT,
    SOURCE,
    TEXT,
    assert_says,
    cells_of,
    column,
)
from notebook import MARKER, fill, run_cells

README = (ROOT / "README.md").read_text("utf-8")
PROSE = "\n\n".join(cell.source for cell in TEXT)
OUTPUTS = [(cell.id, output) for cell in CODE for output in cell.outputs]
BUNDLES = [(cell_id, output) for cell_id, output in OUTPUTS if "data" in output]
LEVELS = {1: "keras_result", 2: "theano_result", 3: "numpy_result"}


def nodes(cell_ids, kind):
    trees = [ast.parse(SOURCE[cell_id]) for cell_id in cell_ids]
    return [node for tree in trees for node in ast.walk(tree) if isinstance(node, kind)]


# --- The assignment ---


def test_sections_have_the_numbers_of_the_assignment():
    numbered = re.findall(r"^#+ (\d+(?:\.\d+)*) ", PROSE, re.MULTILINE)
    asked = re.findall("[0-9.]+", "1 2 3 3.1 3.2 4 4.1 5 6 6.1 6.2 6.2.1 6.2.2 7")
    assert [number for number in numbered if number in asked] == asked


@pytest.mark.parametrize(
    ("section", "asked"),
    [
        ("5", {"LogisticRegression", "score", "test_accuracy", "main"}),
        ("6", {"softmax", "evaluate", "sgd"}),
    ],
)
def test_level_defines_what_the_assignment_asks(section, asked):
    defined = {n.name for n in nodes(cells_of(section), ast.FunctionDef | ast.ClassDef)}
    assert not asked - defined, f"section {section} lacks {asked - defined}"


def test_level_3_imports_numpy_only():
    """Apart from what draws, and the clock. (It runs alone: see test_levels.py.)"""
    imports = nodes(cells_of("6"), ast.Import | ast.ImportFrom)
    modules = {getattr(node, "module", node.names[0].name) for node in imports}
    assert modules <= {"time", "matplotlib.pyplot", "numpy"}


SCORES = [  # cells that read the test set, and choose nothing by it
    *("load-data", "level-1-evaluate", "level-2-train", "level-3-test"),
    *("comparison-again", "paired-test", "orders", "nearest"),
]


def test_test_set_is_read_only_where_a_chosen_model_is_scored():
    for cell in CODE:
        _, read = own_and_read_names(cell.source)
        assert cell.id in SCORES or not read & {"X_test", "y_test", "test"}, (
            f"{cell.id} reads the test set. If nothing is chosen by it there, list the "
            "cell in SCORES; else use the validation set"
        )


def own_and_read_names(source):
    """Return the names that a cell defines, and those that it reads from others.

    What it imports does not count: it is the same wherever it is imported.
    """
    own, read, read_in_functions, imported = set(), set(), set(), set()

    def visit(code):
        operations = list(dis.get_instructions(code))
        for before, here in zip([None, *operations], operations, strict=False):
            name = here.argval
            if here.opname == "STORE_NAME" and before.opname.startswith("IMPORT_"):
                imported.add(name)
            elif here.opname == "STORE_NAME":
                own.add(name)
            elif here.opname == "LOAD_NAME" and name not in own:
                read.add(name)
            elif here.opname == "LOAD_GLOBAL":
                read_in_functions.add(name)
            elif hasattr(name, "co_code"):
                visit(name)

    visit(compile(source, "cell", "exec"))
    return own - imported, read | (read_in_functions - own)


def test_a_name_that_cells_share_is_defined_by_one_cell():
    """Else the last writer wins, when a learner runs a cell in the middle again."""
    cells = {cell.id: own_and_read_names(cell.source) for cell in CODE}
    for name in set().union(*(own for own, _ in cells.values())):
        writers = [cell_id for cell_id, (own, _) in cells.items() if name in own]
        readers = [cell_id for cell_id, (_, read) in cells.items() if name in read]
        assert len(writers) == 1 or not readers, (
            f"{readers} read {name}: let only one cell of {writers} call it so"
        )


# --- The reports ---

# Each value tells its level: 0.41 is the test accuracy of Level 1.
KEYS = "learning_rate", "batch_size", "epochs", "test_accuracy", "seconds"
PLANTED = {
    name: dict(zip(KEYS, [n + 0.5, n + 10, n + 20, 0.4 + n / 100, n + 50], strict=True))
    for n, name in LEVELS.items()
}
for result in PLANTED.values():
    result["valid_accuracies"] = [0.05, 0.99]


def rows_of(cell_id):
    """Return the rows of the table in a text, filled in from the planted results."""
    text = fill(SOURCE[cell_id], lambda expression: eval(expression, dict(PLANTED)))
    text = re.sub(r"<!--.*?-->|\*", "", text)
    rows = re.findall(r"^\|(.*)\|$", text, re.MULTILINE)
    header, _, *rows = [[cell.strip() for cell in row.split("|")] for row in rows]
    return [header, *rows]


@pytest.mark.parametrize("level", LEVELS)
def test_report_has_what_the_assignment_asks_of_its_own_level(level):
    rows = {head.lower(): cell for head, cell in rows_of(f"level-{level}-report-text")}
    asked = "learning rate", "batch size", "epochs", "test accuracy", "run time"
    for name, key in zip(asked, KEYS, strict=True):
        cells = [cell for head, cell in rows.items() if name in head]
        assert cells, f"the report of Level {level} lacks the {name}"
        assert_says(cells[0], PLANTED[LEVELS[level]][key])


def test_table_at_the_top_has_the_results_of_each_level():
    table = rows_of("title")
    levels = [row[0] for row in table[1:]]
    rows = zip(levels, column(table, "accuracy"), column(table, "time"), strict=True)
    for (head, accuracy, seconds), level in zip(rows, LEVELS, strict=True):
        assert_says(head, level)
        assert_says(accuracy, PLANTED[LEVELS[level]]["test_accuracy"])
        assert_says(seconds, PLANTED[LEVELS[level]]["seconds"])


@pytest.mark.parametrize("level", LEVELS)
def test_published_results_are_those_that_the_level_printed(level):
    report = MARKER.sub(r"\2", SOURCE[f"level-{level}-report-text"])
    title = MARKER.sub(r"\2", SOURCE["title"])
    accuracies = re.findall(r"\d+\.\d+%", report)
    (seconds,) = re.findall(r"\d+\.\d+ s", report)
    shown = str([o for i, o in OUTPUTS if i.startswith(f"level-{level}")])
    assert len(accuracies) > 1
    for value in [*accuracies, seconds]:
        assert value in shown, f"{value} was not printed: make run"
    for value in accuracies[-1], seconds:
        assert value in title, f"{value} of the report is not in the title: make run"
    assert min(float(each.strip("%")) for each in accuracies) > 90, "not about 92%"


# --- The file ---


def test_notebook_is_stored_as_one_clean_run_from_first_to_last():
    counts = [cell.execution_count for cell in CODE]
    assert counts == [*range(1, len(CODE) + 1)], "make run stores it so"
    for cell_id, output in OUTPUTS:
        assert output.output_type != "error", f"{cell_id} failed"
        assert output.get("name") != "stderr", f"{cell_id} wrote a warning"
    size = (ROOT / "hw1.ipynb").stat().st_size
    assert size < 2e6, (
        f"hw1.ipynb has {size:,} bytes; GitHub shows large ones slowly or not at all. "
        "Draw figures smaller, or fewer of them"
    )


def test_cells_have_ids_that_say_what_they_are():
    for cell in CODE + TEXT:
        assert not re.fullmatch("[0-9a-f]{8}(-.*)?", cell.id), (
            f"give the cell {cell.id} an id that says what it is, in the file itself"
        )


def test_folded_code_is_folded_in_jupyterlab_too():
    for cell in CODE:
        folded = cell.metadata.get("jupyter", {}).get("source_hidden", False)
        tagged = "hide-input" in cell.metadata.get("tags", [])
        assert folded == tagged, f"{cell.id}: hide-input and source_hidden go together"


def test_every_viewer_shows_figures_and_tables():
    """Also one that shows plain text only, or does not know Markdown or widgets."""
    assert BUNDLES
    for cell_id, output in BUNDLES:
        kinds, plain = set(output.data), output.data.get("text/plain", "")
        known = {"text/plain", "text/markdown", "image/png"}
        assert kinds <= known, f"{cell_id} shows {kinds - known}, such as a widget"
        assert plain and not re.match("<.*>$", plain), (
            f"{cell_id}: plain text is {plain!r}"
        )
        if "image/png" in kinds:
            assert len(plain) > 40, f"{cell_id}: describe the figure"
            assert output.metadata["image/png"]["alt"] == plain, cell_id


def is_rendered(markdown):
    return not re.search(r"^(<p>)?\|", str(mistune.html(markdown)), re.MULTILINE)


def test_tables_are_rendered():
    """One with a column too many in its rule would be text with bars."""
    for cell in TEXT:
        assert is_rendered(cell.source), f"{cell.id}: the table is none"
    for cell_id, output in BUNDLES:
        assert is_rendered(output.data.get("text/markdown", "")), cell_id


@pytest.fixture
def helpers():
    """`show` and `table`, and a list of what they display: (data, options)."""
    names, displayed = run_cells({}, "setup", "helpers"), []
    names["display"] = lambda data, **options: displayed.append((data, options))
    return names, displayed


def test_table_is_rendered_and_has_its_columns_below_each_other_as_text(helpers):
    names, displayed = helpers
    lines = ["rate", "accuracy", "loss"], ["10⁻³", "9%", "12.5"], ["1", "92.5%", "3"]
    names["table"](*lines)
    names["table"](*lines, replace=True)
    (data, first), (_, second) = displayed
    assert not first.get("clear") and second["clear"], "replace it, do not add another"
    html = str(mistune.html(data["text/markdown"]))
    cells = re.findall(r"<t[hd].*?>(.*?)</t", html)
    assert cells == [cell for line in lines for cell in line]
    plain = data["text/plain"].splitlines()
    assert [line.split() for line in plain] == [*lines]
    assert len({len(line.rstrip()) for line in plain}) == 1, "numbers end at one place"


def test_figure_is_shown_with_its_description(helpers):
    names, displayed = helpers
    figure, _ = names["plt"].subplots()
    names["show"](figure, "a description")
    ((data, options),) = displayed
    assert data["image/png"] and data["text/plain"] == "a description"
    assert options["metadata"]["image/png"]["alt"] == "a description"


def test_links_lead_somewhere():
    headings = re.findall(r"^#+ (.+)$", PROSE, re.MULTILINE)
    anchors = {"#" + heading.replace(" ", "-") for heading in headings}
    attached = {f"attachment:{n}" for cell in TEXT for n in cell.get("attachments", {})}
    links = re.findall(r'\]\(([^)\s]+)\)|(?:src|href)="([^"]+)"', PROSE + README)
    for link in map("".join, links):
        if not link.startswith(("https://", "http://")):
            known = link in anchors | attached or (ROOT / link).exists()
            assert known, f"{link} leads nowhere"
