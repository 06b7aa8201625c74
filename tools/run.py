"""Execute hw1.ipynb and fill its report cells and its table of results.

A Markdown cell may hold `<!--= expression -->value<!--/-->`. After the last cell every
expression is evaluated in the notebook's own kernel, and its `str` replaces the value.
The notebook is written once everything has succeeded, and nothing else ever is.
"""

import ast
import os
import re
import signal
import sys
import tempfile
import time
from pathlib import Path

try:
    import nbformat
    from jupyter_client import AsyncKernelManager
    from jupyter_client.kernelspec import KernelSpecManager
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError
    from zmq import ZMQError
except KeyboardInterrupt:  # these take two seconds
    sys.exit("Interrupted before the first cell.")

ROOT = Path(__file__).resolve().parent.parent
MARKER = re.compile(r"<!--=(.*?)-->(.*?)<!--/-->", re.DOTALL)
# What the kernel inherits from the user: where programs are, and how text is encoded.
# No setting of Python, Jupyter, matplotlib, Keras or Theano reaches it.
INHERITED = re.compile("PATH|LANG|LC_.*")
LONGEST_LINE = 100_000  # characters; nbclient takes seconds for it, hours for a million
# As JupyterLab stores it, so that opening the notebook there changes nothing.
KERNEL = {
    "display_name": "Python 3 (ipykernel)",
    "language": "python",
    "name": "python3",
}


def main(root=ROOT):
    """Execute the notebook, then write it; SystemExit with a sentence if that fails."""
    path = root / "hw1.ipynb"
    notebook = read_notebook(path)
    before = path.read_bytes()
    try:
        with tempfile.TemporaryDirectory(prefix="hw1-") as home:
            execute(notebook, root, home)
        if path.read_bytes() != before:
            raise RuntimeError("Another program has changed it meanwhile. Run again.")
        write_atomically(path, (nbformat.writes(notebook) + "\n").encode())
    # A kernel that dies is a RuntimeError, one that cannot be reached a ZMQError.
    except (RuntimeError, ZMQError, OSError, KeyboardInterrupt) as error:
        reason = str(error)
        if not sys.stderr.isatty():
            reason = re.sub(r"\x1b\[[\d;]*m", "", reason)  # the traceback's colours
        sys.exit(f"{reason}\n\n{path} was left as it was.".lstrip())
    print(f"wrote {path}")


def read_notebook(path):
    """Return the notebook, each cell with an id; SystemExit with a sentence if bad."""
    try:
        # Some editors put a byte order mark in front, some Jupyters save no ids.
        text = path.read_text("utf-8-sig")
        notebook = nbformat.v4.upgrade(nbformat.reads(text, as_version=4))
        nbformat.validate(notebook)
    except Exception as error:  # nbformat raises whatever the content makes it trip on
        sys.exit(f"{path} cannot be read: {str(error).splitlines()[0]}")
    for cell in notebook.cells:
        if cell.source.count("<!--=") != len(MARKER.findall(cell.source)):
            sys.exit(
                f"{path}: in the cell {cell.id} a <!--= lacks its --> or <!--/-->."
            )
    return notebook


def execute(notebook, root, home):
    """Run all cells in a fresh kernel, whose home is `home`, and fill the markers."""
    environment = {k: v for k, v in os.environ.items() if INHERITED.fullmatch(k)}
    environment |= {"HOME": home, "TMPDIR": home, "PYTHONNOUSERSITE": "1"}
    kernel = AsyncKernelManager(
        kernel_name=KERNEL["name"],
        kernel_spec_manager=KernelSpecManager(kernel_dirs=[]),  # none of the user's
        transport="ipc",
        connection_file=f"{home}/kernel.json",
    )
    client = NotebookClient(
        notebook,
        km=kernel,
        timeout=None,
        record_timing=False,
        coalesce_streams=True,
        shutdown_kernel="immediate",
        on_cell_executed=refuse_long_lines,
        resources={"metadata": {"path": str(root)}},
    )
    with client.setup_kernel(env=environment, cleanup_kc=True):
        execute_cells(client)
        for cell in notebook.cells:
            if cell.cell_type == "markdown":
                cell.source = fill(cell, client)
        about = client.wait_for_reply(client.kc.kernel_info())["content"]
        # Jupyter would interrupt it first, and a child that a cell has left complain.
        os.killpg(kernel.provisioner.pgid, signal.SIGKILL)
    notebook.metadata.language_info = about["language_info"]
    notebook.metadata.kernelspec = KERNEL


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
        except KeyboardInterrupt:
            raise KeyboardInterrupt(f"Interrupted in {place}.") from None
    print(f"{time.monotonic() - began:6.1f} s  all cells executed")


def refuse_long_lines(cell, **_):
    """Raise RuntimeError if the cell has printed a line that would block nbclient."""
    for output in cell.outputs:
        longest = max(map(len, output.get("text", "").splitlines()), default=0)
        if longest > LONGEST_LINE:
            raise RuntimeError(
                f"It prints a line of {longest:,} characters; {LONGEST_LINE:,} can be."
            )


def fill(cell, client):
    """Return the text of the cell with each marker's value, asked of the kernel."""

    def filled(match):
        expression = match[1].strip()
        asked = {"value": f"str({expression})"}
        request = client.kc.execute("", store_history=False, user_expressions=asked)
        reply = client.wait_for_reply(request)["content"]["user_expressions"]["value"]
        if reply["status"] != "ok":
            why = f"{reply['ename']}: {reply['evalue']}"
            raise RuntimeError(f"In {cell.id} the marker {expression} fails: {why}")
        value = ast.literal_eval(reply["data"]["text/plain"])
        return f"<!--={match[1]}-->{value}<!--/-->"

    return MARKER.sub(filled, cell.source)


def write_atomically(path, content):
    """Write the bytes to `path`, which always holds the old ones or these.

    A symbolic link stays one: the file that it leads to is written.
    """
    path = path.resolve()
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")  # git ignores it
    try:
        temporary.write_bytes(content)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C
    main()
