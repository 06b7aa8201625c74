"""Write hw1.html: the notebook as one web page, without Jupyter or a network.

The figures stand in the page, and its formulas are MathML, which browsers draw by
themselves. nbconvert's own page would load scripts from the network.
"""

import html
import re
import sys

from bs4 import BeautifulSoup
from jinja2 import pass_context
from latex2mathml.converter import convert
from nbconvert import HTMLExporter
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from pygments.formatters import HtmlFormatter
from notebook import ROOT, read_notebook, write_atomically

# The policy lets no script run that stands in a text or an output, and fetches nothing.
PAGE = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
  content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>{title}</title>
<style>{css}</style>
</head>
<body><main>{body}</main></body>
</html>
"""
# On a screen 88 characters of code fit into 45rem, and what is wider than the screen
# scrolls by itself. On paper long lines are wrapped, folded code is left out, and what
# a text folds is shown.
CSS = """
main { max-width: 45rem; margin: auto; font: 1rem/1.5 system-ui, sans-serif;
  overflow-wrap: break-word; }
pre { margin: 0; font: 0.8em/1.4 monospace; }
.highlight pre { padding: 0.6rem; }
.highlight, .output, .scroll { margin: 1rem 0; }
.scroll { display: block; overflow-x: auto; }
table { border-collapse: collapse; font-size: 0.9em; }
th, td { padding: 0.2em 0.5em; border-bottom: 1px solid #ccc; text-align: left;
  vertical-align: baseline; }
img { max-width: 100%; height: auto; }
math { font-size: 115%; }
/* Few browsers know the attribute. */
[mathvariant="bold"] { font-weight: bold; text-transform: none; }
summary { color: #555; cursor: pointer; }
.anchor-link { display: none; }
@page { margin: 1.5cm; }
@media print {
  main { font-size: 0.85rem; }
  pre { white-space: pre-wrap; overflow-wrap: anywhere; }
  pre, table, img, math { break-inside: avoid; }
  h1, h2, h3, h4 { break-after: avoid; }
  .code_cell > details:not([open]) { display: none; }
  summary { list-style: none; }
  details::details-content { content-visibility: visible; }
}
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
    # Widgets need scripts. nbconvert stumbles over those of Colab, which have no state.
    notebook.metadata.pop("widgets", None)
    exporter = HTMLExporter(
        template_name="basic",  # without style and scripts
        filters={"markdown2html": markdown2html},
        exclude_input_prompt=True,
        exclude_output_prompt=True,
    )
    body = BeautifulSoup(exporter.from_notebook_node(notebook)[0], "html.parser")
    for code in body.select(".celltag_hide-input > .input"):
        folded = code.wrap(body.new_tag("details"))
        folded.insert(0, body.new_tag("summary", string="code"))
    for wide in body.select("pre, table, math[display=block]"):
        # A paragraph may hold a span. Without tabindex no keyboard could scroll it.
        wide.wrap(body.new_tag("span", attrs={"class": "scroll", "tabindex": "0"}))
    for head in body("th"):
        if head.get_text(strip=True):
            head["scope"] = "col"
        else:  # the corner
            head.name = "td"
    first = notebook.cells[0].source if notebook.cells else ""
    title = html.escape(first.partition("\n")[0].strip("# "))
    colours = HtmlFormatter().get_style_defs(".highlight")
    return PAGE.format(title=title, css=colours + CSS, body=body)


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
