"""Execute hw1.ipynb and fill its report cells and the tables of results.

A Markdown cell, and README.md, may hold `<!--= expression -->value<!--/-->`.
After the last cell every expression is evaluated in the notebook's own kernel,
and its `str` replaces the value. A digest in each cell's metadata lets
`make submission` notice what was changed afterwards. Files are written only
when everything has succeeded.
"""

import ast
import base64
import hashlib
import json
import os
import re
import shutil
import sys
import tempfile
import time
from pathlib import Path

try:
    import nbformat
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError
    from traitlets.config import Config
    from zmq import ZMQError
except KeyboardInterrupt:  # these take two seconds
    sys.exit("Interrupted before the first cell: nothing was changed.")

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOK = ROOT / "hw1.ipynb"
README = ROOT / "README.md"
# README's picture: the figure of this cell.
PICTURE = ROOT / "tools" / "result.png"
PICTURE_CELL = "comparison-orders-plot"
HOME = ROOT / ".home"  # the kernel's: matplotlib keeps its list of fonts there
MARKER = re.compile(r"<!--=(.*?)-->(.*?)<!--/-->", re.DOTALL)
SPEC = {
    "name": "python3",
    "display_name": "Python 3 (ipykernel)",
    "language": "python",
}
# What the kernel inherits from the user: where programs are, and how text is
# encoded. No setting of Python, Jupyter, matplotlib, Keras, Theano reaches it.
INHERITED = {"PATH", "LANG", "LC_ALL", "LC_CTYPE"}
# What reading a notebook raises.
UNREADABLE = ValueError, nbformat.ValidationError, OSError


def main():
    """Execute, then write; return the exit status."""
    # The largest first: where it fits, all will.
    paths = NOTEBOOK, PICTURE, README
    try:
        for path in paths:
            folder = path.resolve().parent
            if not os.access(folder, os.W_OK):
                raise RuntimeError(f"Nothing can be written to {folder}.")
        before = [bytes_of(path) for path in paths]
        notebook = read_notebook(NOTEBOOK)
        readme = execute(notebook, README.read_text("utf-8"))
        picture = figure(notebook, PICTURE_CELL)
        for path, old in zip(paths, before, strict=True):
            if bytes_of(path) != old:
                raise RuntimeError(
                    f"{path} has changed since this run began, by another run "
                    "or in an editor. Run again."
                )
        text = nbformat.writes(notebook) + "\n"
        new = text.encode(), picture, readme.encode()
        for path, content in zip(paths, new, strict=True):
            write_atomically(path, content)
    # A kernel that dies is a RuntimeError; without free file handles, ZMQError.
    except (CellExecutionError, RuntimeError, ZMQError, *UNREADABLE) as error:
        print(f"{error}\n\n{NOTEBOOK} was left as it was.", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"{NOTEBOOK} was left as it was.", file=sys.stderr)
        return 130
    print(f"wrote {NOTEBOOK}")
    return 0


def read_notebook(path):
    """Return the notebook, each cell with an id; raise one of UNREADABLE."""
    text = path.read_text("utf-8")
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("<<<<<<< "):
            raise ValueError(
                f"{path} has conflict markers of git, the first in line "
                f"{number}. Resolve the conflict."
            )
    # Older Jupyters, and Colab, save no ids.
    return nbformat.v4.upgrade(nbformat.reads(text, as_version=4))


def bytes_of(path):
    """Return the bytes of the file, or None where there is none."""
    return path.read_bytes() if path.exists() else None


def execute(notebook, readme):
    """Run all cells in a fresh kernel, fill the markers; return the `readme`.

    Raises CellExecutionError where a cell fails, and RuntimeError where the
    kernel dies or a marker's expression fails. Which cell it was is printed.
    """
    with tempfile.TemporaryDirectory(prefix="hw1-") as temporary:
        HOME.mkdir(exist_ok=True)
        own = {"HOME": str(HOME), "TMPDIR": temporary, "PYTHONNOUSERSITE": "1"}
        for name in os.environ.keys() & INHERITED:
            own[name] = os.environ[name]
        # Jupyter reads some of its settings here, before the kernel starts.
        os.environ.clear()
        os.environ.update(own)
        client = NotebookClient(
            notebook,
            kernel_name=SPEC["name"],
            timeout=None,
            resources={"metadata": {"path": str(ROOT)}},
            record_timing=False,
            coalesce_streams=True,
            shutdown_kernel="immediate",  # nothing is left to do
            config=Config(KernelManager={"transport_encryption": "auto"}),
        )
        with client.setup_kernel():
            execute_cells(client)
            about = client.wait_for_reply(client.kc.kernel_info())["content"]
            for cell in notebook.cells:
                if cell.cell_type == "markdown":
                    cell.source = fill(cell.source, client)
            readme = fill(readme, client)
    # As JupyterLab stores it, so that opening the notebook changes nothing.
    notebook.metadata.language_info = about["language_info"]
    notebook.metadata.kernelspec = SPEC
    for cell in notebook.cells:
        cell.metadata.pop("digest", None)
        if digest(cell):
            cell.metadata.digest = digest(cell)
    return readme


def execute_cells(client):
    """Run the code cells in the kernel of `client`, saying when and which."""
    cells = client.nb.cells
    began = time.monotonic()
    for i, cell in enumerate(cells):
        if cell.cell_type != "code":
            continue
        if not cell.source.strip():  # an empty cell counts nowhere
            cell.update(execution_count=None, outputs=[])
            continue
        place = f"cell {i + 1} of {len(cells)}, {name_of(cell)}"
        print(f"{time.monotonic() - began:6.1f} s  {place}", flush=True)
        try:
            client.execute_cell(cell, i)
        except (CellExecutionError, RuntimeError):
            print(f"\nFailed in {place}:", file=sys.stderr)
            raise
        except KeyboardInterrupt:
            print(f"\nInterrupted in {place}.", file=sys.stderr)
            raise
    print(f"{time.monotonic() - began:6.1f} s  all cells executed")


def name_of(cell):
    """Return the cell's id, and its first line, which a reader sees."""
    return f"{cell.id} ({cell.source.strip().partition(chr(10))[0][:50]})"


def digest(cell):
    """Return a digest of what a run leaves in a cell: outputs, or values.

    None where it leaves nothing.
    """
    left = MARKER.findall(cell.source)
    if cell.cell_type == "code" and cell.source.strip():
        left = [cell.source, cell.outputs]
    text = json.dumps(left, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16] if left else None


def fill(text, client):
    """Return `text` with each marker's value, asked of the kernel."""

    def filled(match):
        expression = match[1].strip()
        asked = {"value": f"str({expression})"}
        request = client.kc.execute(
            "", store_history=False, user_expressions=asked
        )
        reply = client.wait_for_reply(request)["content"]
        result = reply["user_expressions"]["value"]
        if result["status"] != "ok":
            raise RuntimeError(
                f"The report's expression {expression} failed: "
                f"{result['ename']}: {result['evalue']}"
            )
        value = ast.literal_eval(result["data"]["text/plain"])
        return f"<!--={match[1]}-->{value}<!--/-->"

    return MARKER.sub(filled, text)


def figure(notebook, cell_id):
    """Return the bytes of the PNG that the cell displays.

    Without such a cell (its id was lost), those of the old picture.
    """
    for cell in notebook.cells:
        if cell.id == cell_id:
            for output in cell.get("outputs", []):
                if "image/png" in output.get("data", {}):
                    return base64.b64decode(output.data["image/png"])
            raise RuntimeError(f"The cell {cell_id} shows no figure.")
    print(f"No cell is called {cell_id}: README's picture stays as it is.")
    return PICTURE.read_bytes()


def write_atomically(path, content):
    """Write the bytes `content` to `path`, which always holds the old or these.

    A file that is there keeps its mode; a new one obeys the umask. A symbolic
    link stays one: the file that it leads to is written.
    """
    path = path.resolve()
    # git ignores this name.
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(content)
        if path.exists():
            shutil.copymode(path, temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


if __name__ == "__main__":
    sys.exit(main())
