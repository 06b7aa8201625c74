"""Write hw1.html: the notebook as one web page that needs no Jupyter and no network.

The figures stand in the page, and its formulas are MathML, which browsers draw by
themselves. nbconvert's own page would load scripts from the network for the formulas.
"""

import re
import sys

import nbformat
from jinja2 import pass_context
from latex2mathml.converter import convert
from nbconvert import HTMLExporter
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from run import NOTEBOOK, ROOT, UNREADABLE, name_of, write_atomically

PAGE = ROOT / "hw1.html"
# JupyterLab's look without its scripts, with lines short enough to read, and with the
# descriptions of the figures, which nbconvert leaves out.
TEMPLATE = """\
{%- extends "lab/index.html.j2" -%}
{%- block html_head_js %}{% endblock -%}
{%- block html_head_js_mathjax %}{% endblock -%}
{%- block html_head_js_mermaidjs %}{% endblock -%}
{%- block html_head_css -%}
<style>
main { max-width: 60rem; margin: auto; }
math { font-size: 115%; }
[mathvariant="bold"] { font-weight: bold; } /* few browsers know the attribute */
</style>
{%- endblock -%}
{%- block data_png scoped -%}
{%- set alt = output | get_metadata("alt", "image/png") -%}
{%- set described = '<img alt="' ~ alt | escape_html ~ '" ' -%}
{{ super() | replace("<img ", described) if alt else super() }}
{%- endblock -%}
"""


def mathml(formula, display):
    """Return a formula of TeX as MathML that looks as TeX would set it."""
    # Browsers shrink a prime in the exponent until it is hardly seen, and it needs no
    # exponent: its glyph is a raised one.
    html = convert(formula.replace("'", r"\prime "), display=display)
    # The space of TeX around a function: log 10, not log10.
    return html.replace(
        "<mi>log</mi>", '<mo lspace="0.167em" rspace="0.167em">log</mo>'
    )


class MathRenderer(IPythonRenderer):
    """Renders the formulas of Markdown as MathML."""

    def block_math(self, body):
        """Return the formula of `$$body$$`."""
        return mathml(body, "block")

    def inline_math(self, body):
        """Return the formula of `$body$`."""
        return mathml(body, "inline")


def markdown2html(cell):
    """Return a Markdown cell as HTML; raise ValueError where that cannot be done."""
    renderer = MathRenderer(escape=False, attachments=cell.get("attachments"))
    try:
        return MarkdownWithMath(renderer).render(cell.source)
    except Exception as error:  # latex2mathml's and nbconvert's have no other ancestor
        problem = f"{name_of(cell)} cannot be shown ({type(error).__name__} {error})"
        raise ValueError(f"{problem}: mend its formula or its picture") from None


def title(notebook):
    """Return the text of the first heading."""
    texts = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
    heading = re.search(r"^#+ (.+)$", "\n".join(texts), re.MULTILINE)
    return heading[1] if heading else NOTEBOOK.stem


def export(notebook):
    """Return the page."""
    as_html = pass_context(lambda context, source: markdown2html(context["cell"]))
    exporter = HTMLExporter(raw_template=TEMPLATE, filters={"markdown2html": as_html})
    metadata = {"name": title(notebook)}
    return exporter.from_notebook_node(notebook, {"metadata": metadata})[0]


def main():
    """Write the page; return the exit status."""
    try:
        page = export(nbformat.read(NOTEBOOK, as_version=4))
        write_atomically(PAGE, page.encode())
    except UNREADABLE as error:
        print(f"{PAGE} cannot be written: {error}", file=sys.stderr)
        return 1
    print(f"wrote {PAGE}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
