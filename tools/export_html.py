"""Write hw1.html: the notebook as one web page, without Jupyter or a network.

The figures stand in the page, and its formulas are MathML, which browsers draw
by themselves. nbconvert's own page would load scripts from the network.
"""

import sys

from jinja2 import pass_context
from latex2mathml.converter import convert
from nbconvert import HTMLExporter
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from run import (
    NOTEBOOK,
    ROOT,
    UNREADABLE,
    name_of,
    read_notebook,
    write_atomically,
)

PAGE = ROOT / "hw1.html"
# JupyterLab's look without its scripts, with lines short enough to read, and
# with the descriptions of the figures, which nbconvert leaves out.
TEMPLATE = """\
{%- extends "lab/index.html.j2" -%}
{%- block html_head_js %}{% endblock -%}
{%- block html_head_js_mathjax %}{% endblock -%}
{%- block html_head_js_mermaidjs %}{% endblock -%}
{%- block html_head_css -%}
<style>
main { max-width: 60rem; margin: auto; }
math { font-size: 115%; }
/* Few browsers know the attribute. */
[mathvariant="bold"] { font-weight: bold; }
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
    # Browsers shrink a prime in the exponent until it is hardly seen. It needs
    # no exponent, because its glyph is a raised one.
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

    def latex_environment(self, name, body):
        r"""Return the formula of `\begin{name}body\end{name}`."""
        return mathml(rf"\begin{{{name}}}{body}\end{{{name}}}", "block")

    def inline_math(self, body):
        """Return the formula of `$body$`."""
        return mathml(body, "inline")


def markdown2html(cell):
    """Return a Markdown cell as HTML; raise ValueError where it cannot be."""
    renderer = MathRenderer(escape=False, attachments=cell.get("attachments"))
    try:
        return MarkdownWithMath(renderer).render(cell.source)
    # The errors of latex2mathml and nbconvert have no other common ancestor.
    except Exception as error:
        raise ValueError(
            f"{name_of(cell)} cannot be shown ({type(error).__name__} {error})"
            ": mend its formula or its picture"
        ) from None


@pass_context
def current_cell_as_html(context, source):
    """Return the Markdown cell that nbconvert is at as HTML."""
    return markdown2html(context["cell"])


def export(notebook):
    """Return the page, whose title is the notebook's first line."""
    filters = {"markdown2html": current_cell_as_html}
    exporter = HTMLExporter(raw_template=TEMPLATE, filters=filters)
    first = notebook.cells[0].source if notebook.cells else ""
    metadata = {"name": first.partition("\n")[0].strip("# ")}
    return exporter.from_notebook_node(notebook, {"metadata": metadata})[0]


def main():
    """Write the page; return the exit status."""
    try:
        page = export(read_notebook(NOTEBOOK))
        write_atomically(PAGE, page.encode())
    except UNREADABLE as error:
        print(f"{PAGE} cannot be written: {error}", file=sys.stderr)
        return 1
    print(f"wrote {PAGE}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
