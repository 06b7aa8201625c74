"""Execute the notebook, then write the zip to hand in: `<id>_HW1.zip`.

It holds the folder `<id>_HW1` with the notebook, the id below its title, and the PDF of
the derivation.
"""

import io
import re
import sys
import time
import zipfile

import run
from notebook import ROOT, interruptible, read_notebook, write_atomically

with interruptible():
    import nbformat

PDF = "derivation/derivation.pdf"


def main(name, root=ROOT):
    """Write the zip for the Andrew id `name`; SystemExit with a sentence if bad."""
    if not re.fullmatch("[A-Za-z0-9][A-Za-z0-9_-]{0,31}", name):
        sys.exit(
            "Give your Andrew id (at most 32 letters, digits, - and _), for example: "
            "make submission ANDREW_ID=jdoe"
        )
    target = root / f"{name}_HW1.zip"
    if target.exists() and not target.is_file():
        sys.exit(f"{target} is no regular file: move it away.")
    try:
        pdf = (root / PDF).read_bytes()
    except OSError as error:
        sys.exit(f"{root / PDF} cannot be read ({error.strerror}): make derivation")
    if not pdf.startswith(b"%PDF-"):
        sys.exit(f"{root / PDF} is no PDF: make derivation")
    run.main(root)  # so the outputs are those of this code
    notebook = read_notebook(root / "hw1.ipynb")
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if output.get("name") == "stderr":
                sys.exit(f"No zip was written: the cell {cell.id} prints a warning.")
        # In the zip the PDF lies beside the notebook.
        cell.source = cell.source.replace(f"]({PDF}", f"]({name}_hw1_derivation.pdf")
    title, *rest = notebook.cells[0].source.split("\n")
    notebook.cells[0].source = "\n".join([title, "", f"**Andrew id: {name}**", *rest])
    handed_in, content = nbformat.writes(notebook) + "\n", io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as file:
        for member, data in ("hw1.ipynb", handed_in), ("hw1_derivation.pdf", pdf):
            info = zipfile.ZipInfo(f"{name}_HW1/{name}_{member}", time.localtime()[:6])
            info.external_attr = 0o100644 << 16  # all may read it
            file.writestr(info, data, zipfile.ZIP_DEFLATED)
    try:
        write_atomically(target, content.getvalue())
    except OSError as error:
        sys.exit(f"{target} cannot be written: {error}")
    print(f"wrote {target}")


if __name__ == "__main__":
    with interruptible():
        main(*sys.argv[1:])
