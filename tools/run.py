"""Execute hw1.ipynb and fill its report cells and its table of results.

A Markdown cell may hold `<!--= expression -->value<!--/-->`. After the last cell every
expression is evaluated in the notebook's own kernel, and its `str` replaces the value.
The notebook is written once everything has succeeded, and nothing else ever is.
"""

import ast
import os
import re
import sys
import tempfile
import time

import nbformat
from common import MARKER, ROOT, fill, write_atomically
from jupyter_client import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

# What the kernel inherits from the user: where programs and libraries are, OpenBLAS's
# kernel, how text is encoded. No setting of Python, Jupyter, matplotlib, Keras, Theano.
INHERITED = re.compile("PATH|LD_LIBRARY_PATH|OPENBLAS_CORETYPE|LANG|LC_.*")


def main(root=ROOT):
    """Execute the notebook, then write it; SystemExit with a sentence if that fails."""
    path = root / "hw1.ipynb"
    before = path.read_bytes()
    try:
        notebook = nbformat.reads(before.decode(), as_version=4)
        execute(notebook, root)
    except nbformat.reader.NotJSONError:
        sys.exit(
            f"{path} is no notebook: resolve its merge conflict, or take the last "
            "version that was committed: git checkout HEAD -- hw1.ipynb"
        )
    except (CellExecutionError, RuntimeError) as error:  # RuntimeError: it has died
        sys.exit(f"{error}\n\n{path} was left as it was.")
    if path.read_bytes() != before:
        sys.exit(f"Another program has changed {path} meanwhile. Run again.")
    write_atomically(path, (nbformat.writes(notebook) + "\n").encode())
    print(f"wrote {path}")


def execute(notebook, root):
    """Run all cells in a fresh kernel with an empty home, and fill the markers."""
    texts = [cell for cell in notebook.cells if cell.cell_type == "markdown"]
    wanted = [each for cell in texts for each, _ in MARKER.findall(cell.source)]
    if len(wanted) != sum(cell.source.count("<!--=") for cell in texts):
        raise RuntimeError("In a text a <!--= lacks its --> or <!--/-->.")
    # One more cell, for the time of this run, returns the values of the markers.
    values = ",\n".join(f"str({each})" for each in wanted)
    ask = nbformat.v4.new_code_cell(f"[{values}]", id="values-of-the-texts")
    notebook.cells.append(ask)
    began = time.monotonic()

    def announce(cell, cell_index):
        place = f"cell {cell_index + 1} of {len(notebook.cells)}, {cell.id}"
        print(f"{time.monotonic() - began:6.1f} s  {place}", flush=True)

    environment = {k: v for k, v in os.environ.items() if INHERITED.fullmatch(k)}
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
        environment |= {"HOME": home, "TMPDIR": home, "PYTHONNOUSERSITE": "1"}
        # Sockets in that folder, since TCP without encryption makes Jupyter warn.
        file = f"{home}/kernel.json"
        kernel = AsyncKernelManager(transport="ipc", connection_file=file)
        NotebookClient(
            notebook,
            km=kernel,
            record_timing=False,
            shutdown_kernel="immediate",
            resources={"metadata": {"path": str(root)}},
            on_cell_execute=announce,
        ).execute(env=environment, cleanup_kc=True)
    notebook.cells.remove(ask)
    values = iter(ast.literal_eval(ask.outputs[0].data["text/plain"]))
    for cell in texts:
        cell.source = fill(cell.source, lambda _: next(values))
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = join_streams(cell.outputs)


def join_streams(outputs):
    """Return the outputs with what was printed in pieces as one, as Jupyter stores it.

    (nbclient's own `coalesce_streams` changes their order.)
    """
    joined = []
    for output in outputs:
        if joined and "name" in output and output.name == joined[-1].get("name"):
            joined[-1].text += output.text
        else:
            joined.append(output)
    return joined


if __name__ == "__main__":
    main()
