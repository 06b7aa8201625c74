"""Execute the notebook, then write the zip to hand in: `<id>_HW1.zip`.

It holds the folder `<id>_HW1` with the notebook and the PDF of the derivation.
"""

import io
import re
import sys
import zipfile

import nbformat
import run

PDF = "derivation/derivation.pdf"


def main(name, root=run.ROOT):
    """Write the zip for the Andrew id `name`; SystemExit with a sentence if bad."""
    if not re.fullmatch("[A-Za-z0-9][A-Za-z0-9_-]*", name):
        sys.exit(
            "Give your Andrew id (letters, digits, - and _ only), for example: "
            "make submission ANDREW_ID=jdoe"
        )
    if not (root / PDF).exists():
        sys.exit(f"{root / PDF} is missing: make derivation")
    run.main(root)  # so the outputs are those of this code
    notebook = run.read_notebook(root / "hw1.ipynb")
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if output.get("name") == "stderr":
                sys.exit(f"No zip was written: the cell {cell.id} prints a warning.")
        # In the zip the PDF lies beside the notebook.
        cell.source = cell.source.replace(f"]({PDF}", f"]({name}_hw1_derivation.pdf")
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as file:
        folder = f"{name}_HW1/{name}_hw1"
        file.writestr(f"{folder}.ipynb", nbformat.writes(notebook) + "\n")
        file.writestr(f"{folder}_derivation.pdf", (root / PDF).read_bytes())
    run.write_atomically(root / f"{name}_HW1.zip", content.getvalue())
    print(f"wrote {root / f'{name}_HW1.zip'}")


if __name__ == "__main__":
    main(*sys.argv[1:])
