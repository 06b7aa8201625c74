"""tools/export_html.py: the page is whole by itself, and its formulas are MathML."""

import re

import export_html
import nbformat
import pytest
from bs4 import BeautifulSoup
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

PICTURE = {"image/png": "iVBORw0KGgo="}


def page_of(cells):
    return BeautifulSoup(export_html.export(new_notebook(cells=cells)), "html.parser")


@pytest.fixture(scope="module")
def page(notebook):
    """The page of the stored notebook."""
    return page_of(notebook.cells)


@pytest.fixture(scope="module")
def text(notebook):
    """The notebook's Markdown, but for code within a line."""
    cells = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
    return re.sub(r"`[^`]*`", "", "\n".join(cells))


def test_page_fetches_nothing(page):
    assert not page.select("script, link, iframe, object, embed, base, [srcset]")
    assert all(each["src"].startswith("data:") for each in page.select("[src]"))
    assert not re.search(r"@import|url\(\s*[\"']?(?!data:)[\w/.]", str(page))


def test_headings_stand_in_order_and_links_lead_to_them(page, text):
    found = [each.text.rstrip("¶") for each in page.find_all(re.compile("^h[1-6]$"))]
    assert found == re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    assert page.title.text == found[0]
    for link in page.select("a[href^='#']"):
        assert page.find(id=link["href"][1:]), link


def test_every_formula_is_mathml_and_none_is_left_as_tex(page, text):
    displayed = re.findall(r"\$\$.+?\$\$", text, re.DOTALL)
    inline = re.findall(r"(?<!\$)\$[^$]+\$(?!\$)", text)
    assert len(page.select("math[display=block]")) == len(displayed) > 0
    assert len(page.select("math[display=inline]")) == len(inline) > 0
    for words in page.main.find_all(string=True):
        assert words.find_parent(["pre", "code"]) or not re.search(r"\$|\\[a-z]", words)


def test_pictures_stand_in_the_page_with_their_descriptions():
    alt = 'a < b & "c"'
    figure = new_output("display_data", PICTURE, metadata={"image/png": {"alt": alt}})
    pasted = new_markdown_cell("![pasted](attachment:a)", attachments={"a": PICTURE})
    images = page_of([new_code_cell("show()", outputs=[figure]), pasted])("img")
    assert [image["alt"] for image in images] == [alt, "pasted"]
    assert {image["src"] for image in images} == {"data:image/png;base64,iVBORw0KGgo="}


def test_failure_names_the_cell_and_leaves_the_old_page(tmp_path, monkeypatch, capsys):
    page, path = tmp_path / "hw1.html", tmp_path / "hw1.ipynb"
    monkeypatch.setattr(export_html, "NOTEBOOK", path)
    monkeypatch.setattr(export_html, "PAGE", page)
    for source, status in [("$x$", 0), ("$\\left( x$", 1), ("![](attachment:b)", 1)]:
        nbformat.write(new_notebook(cells=[new_markdown_cell(source, id="text")]), path)
        assert export_html.main() == status
        assert BeautifulSoup(page.read_bytes(), "html.parser").math.text == "x"
        said = capsys.readouterr().err
        assert not said or f"{page} cannot be written: text ({source})" in said
        assert said.count("\n") == status
