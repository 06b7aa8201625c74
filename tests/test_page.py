"""The page of `make html`: what its reader would lose. test_browser.py looks at it."""

import re

import export_html
import pytest
from bs4 import BeautifulSoup
from conftest import NOTEBOOK
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output


def page_of(*cells, **metadata):
    """Return the page of a notebook with these cells."""
    notebook = new_notebook(cells=list(cells), metadata=metadata)
    return BeautifulSoup(export_html.export(notebook), "html.parser")


def shown(data, **metadata):
    """Return a code cell with this output, each of whose types comes with a text."""
    output = new_output("display_data", {"text/plain": "only text", **data})
    output.metadata = metadata
    return new_code_cell("draw()", outputs=[output])


@pytest.fixture(scope="module")
def page():
    return page_of(*NOTEBOOK.cells)


def test_page_is_one_file_that_fetches_nothing(page):
    assert not page.select("script, link, iframe, object, embed, base, [srcset]")
    assert all(each["src"].startswith("data:") for each in page.select("[src]"))
    assert not re.search(r"@import|url\(\s*[\"']?(?!data:)[\w/.]", str(page))


def test_policy_comes_before_all_that_it_forbids(page):
    policy = page.select_one("head > [http-equiv=Content-Security-Policy]")
    assert "default-src 'none'" in policy["content"]
    assert "script" not in policy["content"]
    assert not policy.find_all_previous(["script", "link", "style", "img"])


def test_formulas_are_mathml(page):
    assert len(page.select("math")) > 10
    for words in page.main.find_all(string=True):
        if not words.find_parent(["pre", "code"]):
            assert not re.search(r"\$|\\[a-z]", words), f"TeX in the page: {words}"


@pytest.mark.parametrize(
    ("formula", "glyphs"),
    [
        ("$$y' = x^2$$", "y′=x2"),
        ("\\begin{align*}\ny &= x^2 \\\\\nz &= x^2\n\\end{align*}", "y=x2z=x2"),
        (r"$\text{don't}$", "don't"),
    ],
)
def test_formula_in_a_text_and_in_an_output(formula, glyphs):
    page = page_of(new_markdown_cell(formula), shown({"text/markdown": formula}))
    assert [math.get_text(strip=True) for math in page("math")] == [glyphs, glyphs]


def test_bad_formula_names_its_cell():
    with pytest.raises(ValueError, match="the cell wrong"):
        page_of(new_markdown_cell(r"$\left( y$", id="wrong"))


def test_figure_has_its_description_and_size():
    about = {"alt": 'a < b & "c"', "width": 350, "height": 175}
    page = page_of(shown({"image/png": "iVBORw0KGgo="}, **{"image/png": about}))
    (image,) = page("img")
    assert {key: image[key] for key in about} == {k: str(v) for k, v in about.items()}
    assert "only text" not in page.text, "the text stands beside the figure"


def test_table_is_shown_as_one_whose_columns_are_named():
    page = page_of(shown({"text/markdown": "| | a |\n|-|-|\n| row | 1 |"}))
    assert [head.text for head in page.select("th[scope=col]")] == ["a"]
    assert "only text" not in page.text, "the text stands beside the table"


def test_hidden_code_is_folded_and_its_output_is_not():
    cell = shown({})
    cell.metadata = {"tags": ["hide-input"], "jupyter": {"source_hidden": True}}
    (details,) = page_of(cell, new_code_cell("count()"))("details")
    assert "draw()" in details.text
    assert "only text" not in details.text and "count()" not in details.text


def test_notebook_with_colabs_widgets_can_be_exported():
    """Colab saves them without a state."""
    kind = "application/vnd.jupyter.widget"
    cell = shown({f"{kind}-view+json": {"model_id": "1"}})
    assert "only text" in page_of(cell, widgets={f"{kind}-state+json": {"1": {}}}).text
