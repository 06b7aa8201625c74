"""Check what a grader would, then write the zip to hand in: `<id>_HW1.zip`.

It holds the folder `<id>_HW1` with the notebook and the PDF of the derivation. The same
files always give the same bytes, and nothing is written if a check fails.
"""

import argparse
import ast
import io
import re
import sys
import zipfile
from pathlib import Path

import nbformat
from bs4 import BeautifulSoup
from build_derivation import PDF, sources
from nbconvert.filters import markdown2html
from pypdf import PdfReader
from pypdf.errors import PyPdfError
from run import MARKER, NOTEBOOK, ROOT, write_atomically

LEVELS = {"keras_report": 1, "theano_report": 2, "numpy_report": 3}


def main(arguments=None):
    """Run the command line; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("andrew_id", nargs="?", default="", metavar="ANDREW_ID")
    parser.add_argument("--output-dir", type=Path, default=ROOT)
    arguments = parser.parse_args(arguments)
    name = arguments.andrew_id
    if not re.fullmatch("[A-Za-z0-9_-]+", name):
        return refuse(
            "Give your Andrew id (letters, digits, - and _ only), for example: "
            "make submission ANDREW_ID=jdoe"
        )
    output = arguments.output_dir / f"{name}_HW1.zip"
    pdf_name = f"{name}_hw1_derivation.pdf"
    try:
        notebook = nbformat.read(NOTEBOOK, as_version=4)
        pdf = PDF.read_bytes() if PDF.exists() else b""
        adapt_links(notebook, pdf_name)
        found = [
            *execution_problems(notebook),
            *report_problems(notebook),
            *derivation_problems(pdf),
            *link_problems(notebook, pdf_name),
        ]
        if found:
            return refuse(f"{output.name} was not written:", *found)
        write_atomically(output, archive(name, notebook, pdf))
    except (ValueError, nbformat.ValidationError, OSError) as error:
        return refuse(f"{output.name} was not written: {error}")
    print(f"wrote {output}")
    return 0


def refuse(*lines):
    """Print the lines as an error; return the exit status."""
    print(*lines, sep="\n- ", file=sys.stderr)
    return 1


def execution_problems(notebook):
    """Yield what a grader would see that is not of a clean run of all cells."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    if [cell.execution_count for cell in cells] != list(range(1, len(cells) + 1)):
        yield "The cells were not executed from first to last, each once: make run"
    for cell in cells:
        for output in cell.outputs:
            if output.output_type == "error":
                yield f"Cell {cell.id} failed ({output.ename}): mend it, then make run"
            elif output.get("name") == "stderr":
                yield f"Cell {cell.id} wrote a warning: mend it, then make run"


def report_problems(notebook):
    """Yield the numbers of the text that are missing, or not those of the outputs."""
    reports = {}
    for name, level in LEVELS.items():
        try:
            reports[name] = shown_report(notebook, f"level-{level}-report")
        except (LookupError, SyntaxError, ValueError):
            yield f"Cell level-{level}-report shows no report: make run"
    markers = MARKER.findall("\n".join(markdown_sources(notebook)))
    for name in LEVELS:
        if not any(name in expression for expression, _ in markers):
            yield f"The text states nothing of {name}: take its report cell from git"
    for expression, value in markers:
        measured = recomputed(expression.strip(), reports)
        if not value.strip("– "):
            yield f"The text lacks the value of {expression.strip()}: make run"
        elif measured not in (None, value):
            yield (
                f"The text says {value} and the outputs {measured} "
                f"for {expression.strip()}: make run"
            )


def shown_report(notebook, cell_id):
    """Return the dictionary that is the result of a cell."""
    (cell,) = (cell for cell in notebook.cells if cell.id == cell_id)
    return ast.literal_eval(cell.outputs[-1]["data"]["text/plain"])


def recomputed(expression, reports):
    """Return the value of a marker, or None if more than the reports is needed."""
    try:
        tree = ast.parse(expression, mode="eval")
        names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        if not names or not names <= reports.keys():
            return None
        return str(eval(expression, {"__builtins__": {}}, reports))
    except (LookupError, SyntaxError) as error:
        return f"nothing ({error!r})"


def derivation_problems(pdf):
    """Yield a message if the PDF is not built from the current source."""
    try:
        metadata = PdfReader(io.BytesIO(pdf)).metadata or {}
    except PyPdfError:
        metadata = {}
    if metadata.get("/SourceSHA256") != sources()[2]:
        yield "derivation.pdf is not built from the current source: make derivation"


def adapt_links(notebook, pdf_name):
    """Let the links to the derivation lead to the PDF beside the notebook."""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = cell.source.replace(
                "](derivation/derivation.pdf", f"]({pdf_name}"
            )


def link_problems(notebook, pdf_name):
    """Yield the links that lead to files outside the zip."""
    for source in markdown_sources(notebook):
        page = BeautifulSoup(markdown2html(source), "html.parser")
        for element in page.select("[href], [src]"):
            target = element.get("href") or element.get("src")
            inside = target.partition("#")[0] in ("", pdf_name)
            if not inside and not target.startswith(("http://", "https://")):
                yield f"The text links to {target}, not in the zip: take the link out"


def markdown_sources(notebook):
    """Return the texts of the Markdown cells."""
    return [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]


def archive(name, notebook, pdf):
    """Return the bytes of the zip."""
    files = {
        f"{name}_hw1.ipynb": nbformat.writes(notebook) + "\n",
        f"{name}_hw1_derivation.pdf": pdf,
    }
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        for file_name, data in files.items():
            entry = zipfile.ZipInfo(f"{name}_HW1/{file_name}", (1980, 1, 1, 0, 0, 0))
            entry.create_system = 3  # Unix everywhere, for the permissions
            entry.external_attr = 0o644 << 16
            file.writestr(entry, data, zipfile.ZIP_DEFLATED)
    return content.getvalue()


if __name__ == "__main__":
    sys.exit(main())
