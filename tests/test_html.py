"""tools/export_html.py: the page is whole by itself, and its formulas are MathML."""

import re

import export_html
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


def test_page_fetches_nothing(page):
    assert not page.select("script, link, iframe, object, embed, base, [srcset]")
    assert all(each["src"].startswith("data:") for each in page.select("[src]"))
    assert not re.search(r"@import|url\(\s*[\"']?(?!data:)[\w/.]", str(page))


def test_every_formula_is_mathml_and_none_is_left_as_tex(page, notebook):
    cells = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
    text = re.sub(r"`[^`]*`", "", "\n".join(cells))  # without code within a line
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
