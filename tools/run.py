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

from notebook import ROOT, fill, interruptible, read_notebook, write_atomically

with interruptible():  # these take two seconds
    import nbformat
    from jupyter_client import AsyncKernelManager
    from jupyter_client.kernelspec import KernelSpecManager
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError

# What the kernel inherits from the user: where programs are, and how text is encoded.
# No setting of Python, Jupyter, matplotlib, Keras or Theano reaches it.
INHERITED = re.compile("PATH|LANG|LC_.*")


def main(root=ROOT):
    """Execute the notebook, then write it; SystemExit with a sentence if that fails."""
    path = root / "hw1.ipynb"
    notebook, before = read_notebook(path), path.read_bytes()
    # The kernel's sockets lie there, and the path of a socket has at most 103 bytes.
    parent = None if len(os.fsencode(tempfile.gettempdir())) <= 70 else "/tmp"
    try:
        with tempfile.TemporaryDirectory(prefix="hw1-", dir=parent) as home:
            execute(notebook, root, home)
        if path.read_bytes() != before:
            raise RuntimeError("Another program has changed it meanwhile. Run again.")
        write_atomically(path, (nbformat.writes(notebook) + "\n").encode())
    except KeyboardInterrupt:
        sys.exit(f"Interrupted. {path} was left as it was.")
    except (RuntimeError, OSError) as error:  # RuntimeError, too, if the kernel dies
        reason = re.sub(r"\x1b\[[\d;]*m", "", str(error))  # the traceback's colours
        sys.exit(f"{reason}\n\n{path} was left as it was.")
    print(f"wrote {path}")


def execute(notebook, root, home):
    """Run all cells in a fresh kernel, whose home is `home`, and fill the markers."""
    environment = {k: v for k, v in os.environ.items() if INHERITED.fullmatch(k)}
    environment |= {"HOME": home, "TMPDIR": home, "PYTHONNOUSERSITE": "1"}
    kernel = AsyncKernelManager(
        kernel_name="python3",
        kernel_spec_manager=KernelSpecManager(kernel_dirs=[]),  # none of the user's
        transport="ipc",
        connection_file=f"{home}/kernel.json",
    )
    client = NotebookClient(
        notebook,
        km=kernel,
        record_timing=False,
        coalesce_streams=True,
        shutdown_kernel="immediate",
        resources={"metadata": {"path": str(root)}},
    )

    def value_of(expression):
        """Return `str(expression)`, evaluated in the kernel."""
        asked = {"value": f"str({expression})"}
        request = client.kc.execute("", store_history=False, user_expressions=asked)
        reply = client.wait_for_reply(request)["content"]["user_expressions"]["value"]
        if reply["status"] != "ok":
            why = f"{reply['ename']}: {reply['evalue']}"
            raise RuntimeError(f"The marker {expression} fails: {why}")
        return ast.literal_eval(reply["data"]["text/plain"])

    with client.setup_kernel(env=environment, cleanup_kc=True):
        execute_cells(client)
        for cell in notebook.cells:
            if cell.cell_type == "markdown":
                cell.source = fill(cell.source, value_of)
        about = client.wait_for_reply(client.kc.kernel_info())["content"]
    notebook.metadata.language_info = about["language_info"]  # as JupyterLab does


def execute_cells(client):
    """Run the code cells in the kernel of `client`, saying when and which."""
    cells, began = client.nb.cells, time.monotonic()
    for i, cell in enumerate(cells):
        if cell.cell_type != "code":
            continue
        place = f"cell {i + 1} of {len(cells)}, {cell.id}"
        print(f"{time.monotonic() - began:6.1f} s  {place}", flush=True)
        cell.update(execution_count=None, outputs=[])  # an empty cell keeps these
        try:
            client.execute_cell(cell, i)
        except (CellExecutionError, RuntimeError) as error:
            raise RuntimeError(f"Failed in {place}:\n{error}") from None
    print(f"{time.monotonic() - began:6.1f} s  all cells executed")


if __name__ == "__main__":
    with interruptible():
        main()
