"""Execute the notebook, then write the zip to hand in: `<id>_HW1.zip`.

It holds the folder `<id>_HW1` with the notebook, the id below its title, and the PDF of
the derivation.
"""

import io
import re
import sys
import zipfile

import nbformat
import run
from common import ROOT, write_atomically

PDF = "derivation/derivation.pdf"


def main(name, root=ROOT):
    """Write the zip for the Andrew id `name`; SystemExit with a sentence if bad."""
    if not re.fullmatch("[A-Za-z0-9]+", name):
        sys.exit("Give your Andrew id, for example: make submission ANDREW_ID=jdoe")
    if not (root / PDF).exists():
        sys.exit(f"{root / PDF} is missing: make derivation")
    run.main(root)  # so the outputs are those of this code
    notebook = nbformat.read(root / "hw1.ipynb", as_version=4)
    for cell in notebook.cells:
        if any(output.get("name") == "stderr" for output in cell.get("outputs", [])):
            sys.exit(
                f"No zip was written: the cell {cell.id} of hw1.ipynb shows a warning. "
                "Remove its cause, or silence it in that cell, then run this again."
            )
        # In the zip the PDF lies beside the notebook.
        cell.source = cell.source.replace(f"]({PDF}", f"]({name}_hw1_derivation.pdf")
    title, *rest = notebook.cells[0].source.split("\n")
    notebook.cells[0].source = "\n".join([title, "", f"**Andrew id: {name}**", *rest])
    content, stem = io.BytesIO(), f"{name}_HW1/{name}_hw1"
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr(f"{stem}.ipynb", nbformat.writes(notebook) + "\n")
        file.write(root / PDF, f"{stem}_derivation.pdf")
        for member in file.infolist():
            member.external_attr = 0o100644 << 16  # all may read it
    write_atomically(root / f"{name}_HW1.zip", content.getvalue())
    print(f"wrote {root / name}_HW1.zip")


if __name__ == "__main__":
    main(*sys.argv[1:])
