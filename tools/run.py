"""Execute hw1.ipynb and fill its reports and its table of results.

After the last cell the expressions of all markers are evaluated in the notebook's own
kernel. The notebook is written once everything has succeeded.
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
from nbconvert.preprocessors import CoalesceStreamsPreprocessor

# What the kernel inherits from the user: where programs and libraries are, OpenBLAS's
# kernel, how text is encoded. No setting of Python, Jupyter, matplotlib, Keras, Theano.
INHERITED = re.compile("PATH|LD_LIBRARY_PATH|OPENBLAS_CORETYPE|LANG|LC_.*")


def main(root=ROOT):
    """Execute the notebook, then write it; SystemExit with a sentence if that fails."""
    path = root / "hw1.ipynb"
    before = path.read_bytes()
    try:
        notebook = nbformat.reads(before.decode("utf-8-sig"), as_version=4)
        notebook = nbformat.v4.upgrade(notebook)  # Colab's have no ids
        question = question_for_values(notebook)
        notebook.cells.append(question)
        execute(notebook, root)
    except nbformat.reader.NotJSONError as error:
        sys.exit(
            f"{path} is not JSON: {error.__cause__}. Mend that line, perhaps left by a "
            "merge. (`git checkout HEAD -- hw1.ipynb` would give up all later work.)"
        )
    except (KeyboardInterrupt, AssertionError):  # nbclient's way to end after Ctrl-C
        sys.exit(f"Stopped. {path} was left as it was.")
    except (CellExecutionError, RuntimeError) as error:  # a dead kernel, a bad marker
        sys.exit(f"{error}\n\n{path} was left as it was.")
    notebook.cells.remove(question)
    values = ast.literal_eval(question.outputs[0].data["text/plain"])
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = fill(cell.source, values)
    if path.read_bytes() != before:
        sys.exit(f"Another program has changed {path} meanwhile. Run again.")
    write_atomically(path, (nbformat.writes(notebook) + "\n").encode())
    print(f"wrote {path}")


def question_for_values(notebook):
    """Return a code cell that shows {expression: value} of all markers in the texts."""
    wanted = {}
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            found = MARKER.findall(cell.source)
            if len(found) != cell.source.count("<!--="):
                raise RuntimeError(f"In {cell.id} a <!--= lacks its --> or <!--/-->.")
            wanted |= {each: f"{each!r}: str({each})" for each, _ in found}
    source = "{" + ",\n".join(wanted.values()) + "}"
    return nbformat.v4.new_code_cell(source, id="values-of-the-texts")


def execute(notebook, root):
    """Run all cells in a fresh kernel with an empty home."""
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
    # What was printed in pieces becomes one output, as Jupyter stores it. (nbclient's
    # own `coalesce_streams` changes the order.)
    CoalesceStreamsPreprocessor().preprocess(notebook, {})


if __name__ == "__main__":
    main()
