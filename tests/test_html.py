"""tools/export_html.py: the page is whole by itself, and its formulas are MathML."""

import re

import export_html
import pytest
from bs4 import BeautifulSoup
from conftest import ROOT
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output


@pytest.fixture(scope="module")
def html(notebook):
    """The page of the stored notebook."""
    return export_html.export(notebook)


@pytest.fixture(scope="module")
def page(html):
    """The same, parsed."""
    return BeautifulSoup(html, "html.parser")


def small_page(*cells):
    """Return the parsed page of a notebook of these cells."""
    notebook = new_notebook(cells=list(cells))
    return BeautifulSoup(export_html.export(notebook), "html.parser")


def test_page_fetches_nothing(html, page):
    assert not page.find_all(["script", "link", "iframe", "object", "embed", "base"])
    for element in page.select("[src], [srcset]"):
        assert element.get("src", "").startswith("data:")
        assert not element.get("srcset")
    assert not re.search(r"@import|url\(\s*[\"']?(?!data:)[\w/.]", html)


def test_links_lead_somewhere(page):
    for link in page.select("a[href]"):
        target = link["href"]
        if target.startswith("#"):
            assert page.find(id=target[1:]), target
        elif not target.startswith("https://"):
            assert (ROOT / target).exists(), target


def test_page_says_what_it_is(page):
    assert page.html["lang"] == "en"
    assert (
        page.title.text == page.h1.text.rstrip("¶") == "Handwritten digits, three times"
    )


def test_page_has_all_headings_in_order(notebook, page):
    text = "\n".join(c.source for c in notebook.cells if c.cell_type == "markdown")
    expected = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    found = page.find_all(re.compile(r"^h[1-6]$"))
    assert [heading.text.rstrip("¶") for heading in found] == expected


def test_page_has_all_formulas(notebook, page):
    text = "\n".join(c.source for c in notebook.cells if c.cell_type == "markdown")
    text = re.sub(r"`[^`]*`", "", text)
    displayed = re.findall(r"\$\$.+?\$\$", text, re.DOTALL)
    inline = re.findall(r"(?<!\$)\$[^$]+\$(?!\$)", text)
    assert len(page.select("math[display=block]")) == len(displayed) > 0
    assert len(page.select("math[display=inline]")) == len(inline) > 0


def test_no_tex_is_left(page):
    page = BeautifulSoup(str(page), "html.parser")
    for element in page.select("pre, code, style"):
        element.decompose()
    assert not re.search(r"\$|\\[a-zA-Z]", page.get_text())


def test_every_figure_has_its_description(notebook, page):
    expected = [
        output.metadata["image/png"]["alt"]
        for cell in notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
        if "image/png" in output.get("data", {})
    ]
    found = page.select(".jp-RenderedImage img")
    assert [image["alt"] for image in found] == expected


def test_description_is_escaped():
    alt = 'a < b & "c"'
    data = {"image/png": "iVBORw0KGgo="}
    figure = new_output("display_data", data, metadata={"image/png": {"alt": alt}})
    page = small_page(new_code_cell("show()", outputs=[figure]))
    assert page.img["alt"] == alt and page.img["src"].startswith("data:image/png")


def test_code_is_not_mathematics():
    code = "`$a$` and $b$\n\n    $c$\n\n```\n$$d$$\n```\n"
    text = code + "\n| x |\n|---|\n| $P(a \\mid e)$ |"
    page = small_page(new_markdown_cell(text))
    assert [math.get_text() for math in page("math")] == ["b", "P(a∣e)"]
    assert [code.text.strip() for code in page("code")] == ["$a$", "$c$", "$$d$$"]
    assert page.td.math


def test_formulas_look_like_those_of_tex():
    page = small_page(new_markdown_cell(r"$\frac{1}{2}\, y' \log 10$"))
    assert page.math.mfrac
    assert page.math.find("mo", string="log")["rspace"] != "0"
    assert not page.math.msup and "′" in page.math.text


def test_command_writes_the_file(tmp_path, monkeypatch, html):
    output = tmp_path / "page.html"
    monkeypatch.setattr("sys.argv", ["export_html.py", "--output", str(output)])
    assert export_html.main() == 0
    assert BeautifulSoup(output.read_bytes(), "html.parser").title
    assert list(tmp_path.iterdir()) == [output]


def test_failure_leaves_the_old_file(tmp_path, monkeypatch, capsys):
    (tmp_path / "hw1.ipynb").write_text("not a notebook")
    output = tmp_path / "page.html"
    output.write_text("the old one")
    monkeypatch.setattr(export_html, "NOTEBOOK", tmp_path / "hw1.ipynb")
    monkeypatch.setattr("sys.argv", ["export_html.py", "--output", str(output)])
    assert export_html.main() == 1
    assert str(output) in capsys.readouterr().err
    assert output.read_text() == "the old one"
