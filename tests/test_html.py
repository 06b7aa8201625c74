"""tools/export_html.py: the page is the whole notebook, and whole by itself."""

import re

import export_html
import pytest
from bs4 import BeautifulSoup
from conftest import CODE, NOTEBOOK, TEXT
from nbformat.v4 import (
    new_code_cell,
    new_markdown_cell,
    new_notebook,
    new_output,
)

PICTURE = {"image/png": "iVBORw0KGgo="}
OUTPUTS = [output for cell in CODE for output in cell.outputs]


def page_of(*cells):
    """Return the page of a notebook with these cells."""
    page = export_html.export(new_notebook(cells=list(cells)))
    return BeautifulSoup(page, "html.parser")


@pytest.fixture(scope="module")
def page():
    """The page of the stored notebook."""
    return page_of(*NOTEBOOK.cells)


def test_page_fetches_nothing(page):
    elements = "script, link, iframe, object, embed, base, [srcset]"
    assert not page.select(elements)
    assert all(each["src"].startswith("data:") for each in page.select("[src]"))
    assert not re.search(r"@import|url\(\s*[\"']?(?!data:)[\w/.]", str(page))


def test_page_shows_the_code_of_every_cell(page):
    shown = [
        pre.get_text() for pre in page.select(".jp-CodeCell .highlight pre")
    ]
    assert "".join(shown).split() == " ".join(c.source for c in CODE).split()


def test_page_shows_every_output(page):
    pictures = [o.data for o in OUTPUTS if "image/png" in o.get("data", {})]
    stored = ["".join(data["image/png"].split()) for data in pictures]
    shown = page.select(".jp-OutputArea img")
    assert stored, "the stored notebook has no figure"
    assert [
        "".join(image["src"].partition("base64,")[2].split()) for image in shown
    ] == stored
    words = page.main.get_text()
    for output in OUTPUTS:
        assert output.get("text", "") in words


def test_page_is_called_as_the_notebook(page):
    title = page.title.get_text()
    assert title and NOTEBOOK.cells[0].source.startswith(f"# {title}\n")


def test_every_formula_is_mathml_and_none_is_left_as_tex(page):
    text = "\n".join(cell.source for cell in TEXT)
    text = re.sub(r"`[^`]*`", "", text)  # without code within a line
    displayed = re.findall(r"\$\$.+?\$\$", text, re.DOTALL)
    inline = re.findall(r"(?<!\$)\$[^$]+\$(?!\$)", text)
    assert len(page.select("math[display=block]")) == len(displayed) > 0
    assert len(page.select("math[display=inline]")) == len(inline) > 0
    for words in page.main.find_all(string=True):
        if not words.find_parent(["pre", "code"]):
            assert not re.search(r"\$|\\[a-z]", words), "TeX in the page"


@pytest.mark.parametrize(
    "formula",
    [
        "$$y = x^2$$",
        "$$\ny = x^2\n$$",
        r"\begin{equation}y = x^2\end{equation}",
        "\\begin{align}\ny &= x^2 \\\\\nz &= x^2\n\\end{align}",
        "\\begin{align*}\ny &= x^2\n\\end{align*}",
    ],
)
def test_formula_that_jupyterlab_shows_is_shown(formula):
    page = page_of(new_markdown_cell(f"Before\n\n{formula}\n\nafter"))
    (math,) = page.select("math[display=block]")
    assert "x2" in math.get_text(strip=True)
    assert "\\" not in page.main.get_text()


def test_formula_that_cannot_be_shown_is_refused_with_its_cell():
    with pytest.raises(ValueError, match=r"wrong .* cannot be shown"):
        page_of(new_markdown_cell(r"$\left( y$", id="wrong"))


def test_pictures_stand_in_the_page_with_their_descriptions():
    alt = 'a < b & "c"'
    size = {"width": 350, "height": 175}
    about = {"image/png": {"alt": alt} | size}
    figure = new_output("display_data", PICTURE, metadata=about)
    images = page_of(
        new_code_cell("show()", outputs=[figure]),
        new_markdown_cell(
            "![pasted](attachment:a)", attachments={"a": PICTURE}
        ),
    )("img")
    assert [image["alt"] for image in images] == [alt, "pasted"]
    assert (images[0]["width"], images[0]["height"]) == ("350", "175")
    source = "data:image/png;base64,iVBORw0KGgo="
    assert [image["src"] for image in images] == [source, source]
