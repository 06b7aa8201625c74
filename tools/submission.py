"""Check what a grader would, then write the zip to hand in: `<id>_HW1.zip`.

It holds the folder `<id>_HW1` with the notebook and the PDF of the derivation.
The same files always give the same bytes, and nothing is written if a check
fails.
"""

import io
import re
import sys
import zipfile

import nbformat
from bs4 import BeautifulSoup
from build_derivation import PDF, is_current
from export_html import markdown2html
from run import (
    NOTEBOOK,
    ROOT,
    UNREADABLE,
    digest,
    name_of,
    read_notebook,
    write_atomically,
)


def main(name):
    """Write the zip for the Andrew id `name`; return the exit status."""
    if not re.fullmatch("[A-Za-z0-9][A-Za-z0-9_-]*", name):
        return refuse(
            "Give your Andrew id (letters, digits, - and _ only), for example: "
            "make submission ANDREW_ID=jdoe"
        )
    output = ROOT / f"{name}_HW1.zip"
    pdf_name = f"{name}_hw1_derivation.pdf"
    try:
        notebook = read_notebook(NOTEBOOK)
        pdf = PDF.read_bytes() if PDF.exists() else b""
        found = [*run_problems(notebook), *link_problems(notebook, pdf_name)]
        if not is_current(pdf):
            found.append(
                "derivation.pdf is not built from its source: make derivation"
            )
        if found:
            return refuse(f"{output.name} was not written:", *found)
        write_atomically(output, archive(name, notebook, pdf))
    except UNREADABLE as error:
        return refuse(f"{output.name} was not written: {error}")
    print(f"wrote {output}")
    return 0


def refuse(*lines):
    """Print the lines as an error; return the exit status."""
    print(*lines, sep="\n- ", file=sys.stderr)
    return 1


def run_problems(notebook):
    """Yield what is not of a clean run of all cells, from first to last."""
    cells = notebook.cells
    changed = [c for c in cells if c.metadata.get("digest") != digest(c)]
    code = [c for c in cells if c.cell_type == "code" and c.source.strip()]
    counts = [cell.execution_count for cell in code]
    if changed or counts != list(range(1, len(code) + 1)):
        yield (
            f"{NOTEBOOK.name} is not as make run leaves it: "
            "make run, then make submission again"
        )
    for cell in changed:
        yield f"{name_of(cell)} has changed since make run"
    for cell in code:
        for output in cell.outputs:
            if output.output_type == "error":
                yield f"{name_of(cell)} failed ({output.ename}): mend it"
            elif output.get("name") == "stderr":
                yield f"{name_of(cell)} wrote a warning: mend it"


def link_problems(notebook, pdf_name):
    """Point links to the derivation at its PDF in the zip; yield bad links."""
    for cell in notebook.cells:
        if cell.cell_type != "markdown":
            continue
        cell.source = cell.source.replace(
            "](derivation/derivation.pdf", f"]({pdf_name}"
        )
        try:
            page = BeautifulSoup(markdown2html(cell), "html.parser")
        except ValueError as error:
            yield str(error)
            continue
        for element in page.select("[href], [src]"):
            target = element.get("href") or element.get("src")
            inside = target.partition("#")[0] in ("", pdf_name)
            if not inside and not re.match("https?://|data:", target):
                yield f"{name_of(cell)} links to {target}, not in the zip"


def archive(name, notebook, pdf):
    """Return the bytes of the zip."""
    files = {
        f"{name}_hw1.ipynb": nbformat.writes(notebook) + "\n",
        f"{name}_hw1_derivation.pdf": pdf,
    }
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        for file_name, data in files.items():
            entry = zipfile.ZipInfo(
                f"{name}_HW1/{file_name}", (1980, 1, 1, 0, 0, 0)
            )
            entry.create_system = 3  # Unix everywhere, for the permissions
            entry.external_attr = 0o644 << 16
            file.writestr(entry, data, zipfile.ZIP_DEFLATED)
    return content.getvalue()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
