"""Execute hw1.ipynb and write the measured numbers into its text and the README's.

A Markdown cell, and README.md, may hold `<!--= expression -->value<!--/-->`. After the
last cell every expression is evaluated in the notebook's own kernel, and its `str`
replaces the value. Files are written only when everything has succeeded.
"""

import argparse
import ast
import base64
import os
import re
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
PICTURE_CELL = "comparison-plot"
MARKER = re.compile(r"<!--=(.*?)-->(.*?)<!--/-->", re.DOTALL)


class ReportError(Exception):
    """What is to be written cannot be had, or must not be written."""


def main():
    """Run the command line; return the exit status."""
    parser = argparse.ArgumentParser(description="Execute hw1.ipynb, fill its reports.")
    parser.add_argument("notebook", nargs="?", type=Path, default=NOTEBOOK)
    parser.add_argument(
        "--output", type=Path, help="write the notebook here, leave the README as it is"
    )
    arguments = parser.parse_args()
    output = (arguments.output or arguments.notebook).resolve()
    targets = [PICTURE, README, output] if output == NOTEBOOK else [output]
    try:
        before = {path: bytes_of(path) for path in targets}
        notebook = nbformat.read(arguments.notebook, as_version=4)
        readme = README.read_text("utf-8") if output == NOTEBOOK else ""
    except (ValueError, nbformat.ValidationError, OSError) as error:
        print(f"{arguments.notebook} cannot be run: {error}", file=sys.stderr)
        return 1
    try:
        for path in targets:
            if not os.access(path.parent, os.W_OK):
                raise ReportError(f"Nothing can be written to {path.parent}.")
        readme = execute(notebook, readme)
        files = {}
        if output == NOTEBOOK:
            files = {PICTURE: figure(notebook, PICTURE_CELL), README: readme.encode()}
        files[output] = (nbformat.writes(notebook) + "\n").encode()
        for path in targets:
            if bytes_of(path) != before[path]:
                raise ReportError(
                    f"{path} has changed since this run began, by another run or in "
                    "an editor. Run again."
                )
        for path, new in files.items():
            write_atomically(path, new)
    except (CellExecutionError, DeadKernelError, ReportError, OSError) as error:
        print(f"{error}\n\n{output} was left as it was.", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"{output} was left as it was.", file=sys.stderr)
        return 130
    print(f"wrote {output}")
    return 0


def bytes_of(path):
    """Return the bytes of the file, or None where there is none."""
    return path.read_bytes() if path.exists() else None


def execute(notebook, readme=""):
    """Run all cells in a fresh kernel, fill the markers; return the filled `readme`.

    Raises CellExecutionError or DeadKernelError, after saying which cell it was, and
    ReportError.
    """
    client = NotebookClient(
        notebook,
        timeout=None,
        resources={"metadata": {"path": str(ROOT)}},
        record_timing=False,
        coalesce_streams=True,
        shutdown_kernel="immediate",  # all is done: no need to interrupt it politely
        config=Config(KernelManager={"transport_encryption": "auto"}),
    )
    began = time.monotonic()
    with client.setup_kernel():
        for i, cell in enumerate(notebook.cells):
            if cell.cell_type != "code":
                continue
            place = f"cell {i + 1} of {len(notebook.cells)}, {cell.id}"
            print(f"{time.monotonic() - began:6.1f} s  {place}", flush=True)
            try:
                client.execute_cell(cell, i)
            except (CellExecutionError, DeadKernelError):
                print(f"\nFailed in {place}:", file=sys.stderr)
                raise
            except KeyboardInterrupt:
                print(f"\nInterrupted in {place}.", file=sys.stderr)
                raise
        texts = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
        values = evaluate(client, expressions("".join([*texts, readme])))
    print(f"{time.monotonic() - began:6.1f} s  all cells executed")
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = fill(cell.source, values)
    return fill(readme, values)


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
    """Write the bytes `content` to `path`, which holds its old or its new content."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


if __name__ == "__main__":
    sys.exit(main())
