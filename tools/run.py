"""Execute hw1.ipynb and write the measured numbers into its text and the README's.

A Markdown cell, and README.md, may hold `<!--= expression -->value<!--/-->`. After the
last cell every expression is evaluated in the notebook's own kernel, and its `str`
replaces the value. A digest in each cell's metadata lets `make submission` notice what
was changed afterwards. Files are written only when everything has succeeded.
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

import nbformat
from jupyter_core.utils import run_sync
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError
from traitlets.config import Config

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOK = ROOT / "hw1.ipynb"
README = ROOT / "README.md"
PICTURE = ROOT / "tools" / "result.png"  # the README shows it: this cell's figure
PICTURE_CELL = "comparison-orders-plot"
HOME = ROOT / ".home"
MARKER = re.compile(r"<!--=(.*?)-->(.*?)<!--/-->", re.DOTALL)
SPEC = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}
# What the kernel inherits from the user: where programs are, and how text is encoded.
# No setting of Python, Jupyter, matplotlib, Keras or Theano reaches it.
INHERITED = {"PATH", "LANG", "LC_ALL", "LC_CTYPE"}


class ReportError(Exception):
    """The results cannot be written; the message says why."""


# What reading a notebook raises.
UNREADABLE = ValueError, nbformat.ValidationError, OSError


def main():
    """Execute, then write; return the exit status."""
    paths = NOTEBOOK, PICTURE, README  # the largest first: where it fits, all will
    try:
        for path in paths:
            if not os.access(path.parent, os.W_OK):
                raise ReportError(f"Nothing can be written to {path.parent}.")
        before = [bytes_of(path) for path in paths]
        notebook = nbformat.read(NOTEBOOK, as_version=4)
        readme = execute(notebook, README.read_text("utf-8"))
        picture = figure(notebook, PICTURE_CELL)
        for path, old in zip(paths, before, strict=True):
            if bytes_of(path) != old:
                raise ReportError(
                    f"{path} has changed since this run began, by another run or in "
                    "an editor. Run again."
                )
        text = nbformat.writes(notebook) + "\n"
        new = text.encode(), picture, readme.encode()
        for path, content in zip(paths, new, strict=True):
            write_atomically(path, content)
    except (CellExecutionError, DeadKernelError, ReportError, *UNREADABLE) as error:
        print(f"{error}\n\n{NOTEBOOK} was left as it was.", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"{NOTEBOOK} was left as it was.", file=sys.stderr)
        return 130
    print(f"wrote {NOTEBOOK}")
    return 0


def bytes_of(path):
    """Return the bytes of the file, or None where there is none."""
    return path.read_bytes() if path.exists() else None


def environment(temporary):
    """Return the environment of the kernel, whose temporary files go to `temporary`.

    The folder .home stands for the user's: it keeps matplotlib's list of fonts.
    """
    HOME.mkdir(exist_ok=True)
    own = {"HOME": str(HOME), "TMPDIR": temporary, "PYTHONNOUSERSITE": "1"}
    return {name: os.environ[name] for name in INHERITED & os.environ.keys()} | own


def execute(notebook, readme):
    """Run all cells in a fresh kernel, fill the markers; return the filled `readme`.

    Raises CellExecutionError or DeadKernelError, after saying which cell it was, and
    ReportError.
    """
    with tempfile.TemporaryDirectory(prefix="hw1-") as temporary:
        # Jupyter reads some of its settings here, before the kernel starts.
        clean = environment(temporary)
        os.environ.clear()
        os.environ.update(clean)
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
            texts = [c.source for c in notebook.cells if c.cell_type == "markdown"]
            values = evaluate(client, expressions("".join([*texts, readme])))
    # What JupyterLab would store, so that opening the notebook changes nothing.
    notebook.metadata.language_info = about["language_info"]
    notebook.metadata.kernelspec = SPEC
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = fill(cell.source, values)
        cell.metadata.pop("digest", None)
        if digest(cell):
            cell.metadata.digest = digest(cell)
    return fill(readme, values)


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
        except (CellExecutionError, DeadKernelError):
            print(f"\nFailed in {place}:", file=sys.stderr)
            raise
        except KeyboardInterrupt:
            print(f"\nInterrupted in {place}.", file=sys.stderr)
            raise
    print(f"{time.monotonic() - began:6.1f} s  all cells executed")


def name_of(cell):
    """Return the cell's id and its first line, which a reader of the notebook sees."""
    return f"{cell.id} ({cell.source.strip().partition(chr(10))[0][:50]})"


def digest(cell):
    """Return a digest of what a run leaves in a cell: its outputs, or values in a text.

    None where it leaves nothing.
    """
    left = MARKER.findall(cell.source)
    if cell.cell_type == "code" and cell.source.strip():
        left = [cell.source, cell.outputs]
    text = json.dumps(left, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16] if left else None


def expressions(text):
    """Return the expressions of all markers in `text`."""
    return [match[1].strip() for match in MARKER.finditer(text)]


def evaluate(client, wanted):
    """Return {expression: its str} as the running kernel of `client` sees them."""

    async def ask():
        return await client.kc.execute(
            "",
            store_history=False,
            user_expressions={each: f"str({each})" for each in wanted},
            reply=True,
        )

    reply = run_sync(ask)()
    values = {}
    for expression, result in reply["content"]["user_expressions"].items():
        if result["status"] != "ok":
            raise ReportError(
                f"The report's expression {expression} failed: "
                f"{result['ename']}: {result['evalue']}"
            )
        values[expression] = ast.literal_eval(result["data"]["text/plain"])
    return values


def fill(text, values):
    """Return `text` with the value of every marker replaced."""
    return MARKER.sub(
        lambda match: f"<!--={match[1]}-->{values[match[1].strip()]}<!--/-->", text
    )


def figure(notebook, cell_id):
    """Return the bytes of the PNG that the cell displays."""
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if cell.id == cell_id and "image/png" in output.get("data", {}):
                return base64.b64decode(output.data["image/png"])
    raise ReportError(f"The cell {cell_id} shows no figure.")


def write_atomically(path, content):
    """Write the bytes `content` to `path`, which holds its old or its new content.

    A file that is there keeps its mode; a new one obeys the umask.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")  # git ignores it
    try:
        temporary.write_bytes(content)
        if path.exists():
            shutil.copymode(path, temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


if __name__ == "__main__":
    sys.exit(main())
