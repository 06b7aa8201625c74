"""The reports, the table on top and that of section 7 show each level's own results."""

import re

import pytest
from cells import PRINTED, SOURCE, capture, numbers
from common import MARKER, fill

NAMES = {1: "Keras", 2: "Theano", 3: "numpy"}
HEADS = ["learning rate", "batch size", "epochs", "test accuracy", "run time"]

# Invented results. (Levels 2 and 3 agree, so exchanged ones show only if all differ.)
EXPECTED = {n: [n + 0.5, 100 + n, 200 + n, 40 + n, 50 + n] for n in NAMES}
INVENTED = {"theano_compiling": 59.0}
for n, (rate, size, epochs, accuracy, seconds) in EXPECTED.items():
    parameters = {"learning_rate": rate, "batch_size": size, "epochs": epochs}
    name = NAMES[n].lower()
    INVENTED |= {f"{name}_parameters": parameters, f"{name}_seconds": seconds}
    INVENTED[f"{name}_test"] = accuracy / 100
INVENTED["best"] = parameters | {"seconds": seconds}


def rows_of(text):
    """Return the rows of the table in a text: {first cell: the other cells}."""
    plain = re.sub(r"<!--.*?-->|\*", "", text)
    rows = re.findall(r"^\|(.*)\|$", plain, re.MULTILINE)
    cells = [[each.strip() for each in row.split("|")] for row in rows]
    return {head: others for head, *others in cells}


def assert_shows(expected, level, text_of):
    """The report of a level, and its row in the first table, show these results."""
    report = rows_of(text_of(f"level-{level}-report"))
    for name, value in zip(HEADS, expected, strict=True):
        (found,) = (cells[0] for head, cells in report.items() if name in head)
        assert numbers(found) == [value], f"report: {name} is {found}, not {value}"
    rows = rows_of(text_of("title"))
    assert rows[""] == ["test accuracy", "run time for training"]
    found = rows[f"Level {level}, {NAMES[level]}"]
    assert numbers(" ".join(found)) == expected[-2:], f"title: {found}"


@pytest.mark.parametrize("level", NAMES)
def test_texts_show_own_results(level):
    def text_of(cell_id):
        wanted = dict(MARKER.findall(SOURCE[cell_id]))
        values = {each: eval(each, INVENTED.copy()) for each in wanted}
        return fill(SOURCE[cell_id], values)

    assert_shows(EXPECTED[level], level, text_of)


def row_of(level, printed):
    """Return the first numbers in the row of a level in the table of section 7."""
    (row,) = (row for row in printed.splitlines() if row.startswith(NAMES[level]))
    return numbers(row)[:5]


@pytest.mark.parametrize("level", NAMES)
def test_comparison_shows_own_results(level):
    printed, _ = capture(INVENTED.copy(), "comparison-table")
    assert row_of(level, printed) == EXPECTED[level], printed


@pytest.mark.parametrize("level", NAMES)
def test_stored_texts_are_current(level):
    """They show what the stored run printed; `make run` brings all up to date."""
    stored = row_of(level, PRINTED["comparison-table"])
    assert_shows(stored, level, SOURCE.get)
    assert 90 < stored[3] < 94, f"the texts say about 92%, not {stored[3]}%"
    said = "".join(text for key, text in PRINTED.items() if f"level-{level}" in key)
    for value in stored[-2:]:
        assert value in numbers(said), f"Level {level} itself has not printed {value}"
