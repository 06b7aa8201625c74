"""Write hw1.html: the notebook as one web page, without Jupyter or a network.

The figures stand in the page, and its formulas are MathML, which browsers draw by
themselves. nbconvert's own page would load scripts from the network.
"""

import re
import sys

from jinja2 import pass_context
from latex2mathml.converter import convert
from nbconvert import HTMLExporter
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from run import ROOT, read_notebook, write_atomically

# JupyterLab's look without its scripts. All begins at one left edge, so there are no
# prompts, and lines are short enough to read. The code of cells with Jupyter's tag
# hide-input is folded. Figures get their descriptions, which nbconvert leaves out.
TEMPLATE = """\
{%- extends "lab/index.html.j2" -%}
{%- block html_head_js %}{% endblock -%}
{%- block html_head_js_mathjax %}{% endblock -%}
{%- block html_head_js_mermaidjs %}{% endblock -%}
{%- block html_head_css -%}
<style>
main { max-width: 60rem; margin: auto; }
.jp-Notebook .jp-Collapser { display: none; }
.jp-Notebook .jp-RenderedHTMLCommon, .jp-Notebook .jp-OutputArea-output {
  margin: 0; padding: 0; }
.jp-Notebook .jp-RenderedHTMLCommon table { margin-left: 0; }
summary { color: #555; cursor: pointer; }
math { font-size: 115%; }
/* Few browsers know the attribute. */
[mathvariant="bold"] { font-weight: bold; }
</style>
{%- endblock -%}
{%- block input_group -%}
{%- if "hide-input" in cell.metadata.get("tags", []) -%}
<details><summary>code</summary>{{ super() }}</details>
{%- else -%}
{{ super() }}
{%- endif -%}
{%- endblock -%}
{%- block data_png scoped -%}
{%- set alt = output | get_metadata("alt", "image/png") -%}
{%- set described = '<img alt="' ~ alt | escape_html ~ '" ' -%}
{{ super() | replace("<img ", described) if alt else super() }}
{%- endblock -%}
"""


def mathml(formula, display):
    """Return a formula of TeX as MathML that looks as TeX would set it."""
    # Browsers shrink a prime in the exponent until it is hardly seen. It needs no
    # exponent, because its glyph is a raised one. In a text it is an apostrophe.
    formula = re.sub(r"(\\text{[^}]*})|'", lambda m: m[1] or r"\prime ", formula)
    # The space of TeX around a function: log 10, not log10.
    return convert(formula, display=display).replace(
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


@pass_context
def markdown2html(context, source):
    """Return Markdown, of a cell or of an output, as HTML; ValueError if it is bad."""
    cell = context["cell"]
    renderer = MathRenderer(escape=False, attachments=cell.get("attachments"))
    try:
        return MarkdownWithMath(renderer).render(source)
    # The errors of latex2mathml and nbconvert have no other common ancestor.
    except Exception as error:
        raise ValueError(
            f"the cell {cell.id} cannot be shown ({type(error).__name__} {error}): "
            "mend its formula or its picture"
        ) from None


def export(notebook):
    """Return the page, whose title is the notebook's first line."""
    exporter = HTMLExporter(
        raw_template=TEMPLATE,
        filters={"markdown2html": markdown2html},
        exclude_input_prompt=True,
        exclude_output_prompt=True,
    )
    first = notebook.cells[0].source if notebook.cells else ""
    metadata = {"name": first.partition("\n")[0].strip("# ")}
    return exporter.from_notebook_node(notebook, {"metadata": metadata})[0]


def main(root=ROOT):
    """Write the page; SystemExit with a sentence if that fails."""
    page = root / "hw1.html"
    try:
        text = export(read_notebook(root / "hw1.ipynb"))
        write_atomically(page, text.encode())
    except (ValueError, OSError) as error:
        sys.exit(f"{page} cannot be written: {error}")
    print(f"wrote {page}")


if __name__ == "__main__":
    main()
