"""What the tools, the tests and the benchmark share; without packages to import."""

import contextlib
import functools
import json
import linecache
import os
import re
import signal
import stat
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MARKER = re.compile(r"<!--=(.*?)-->(.*?)<!--/-->", re.DOTALL)


def fill(text, value_of):
    """Return the text with `value_of(expression)` as the value of each marker.

    A marker is `<!--= expression -->value<!--/-->`.
    """
    return MARKER.sub(
        lambda marker: f"<!--={marker[1]}-->{value_of(marker[1].strip())}<!--/-->", text
    )


def read_notebook(path):
    """Return the notebook, each cell with an id; SystemExit with a sentence if bad."""
    import nbformat  # the benchmark's Python has none, and this takes half a second

    try:
        text = path.read_text("utf-8-sig")  # some editors put a byte order mark
        json.loads(text)  # to know the line
        notebook = nbformat.v4.upgrade(nbformat.reads(text, as_version=4))
        nbformat.validate(notebook)
    except json.JSONDecodeError as error:
        line = text.split("\n")[error.lineno - 1].strip()
        sys.exit(
            f"{path} cannot be read, it is no JSON from line {error.lineno} on: "
            f"{line[:60]!r}. Mend it there (the mark of a merge conflict: choose a "
            "side), or bring an older version back: git checkout -- hw1.ipynb"
        )
    except Exception as error:  # nbformat raises whatever the content makes it trip on
        sys.exit(f"{path} cannot be read: {str(error).partition(chr(10))[0]}")
    for cell in notebook.cells:
        if cell.source.count("<!--=") != len(MARKER.findall(cell.source)):
            sys.exit(
                f"{path}: in the cell {cell.id} a <!--= lacks its --> or <!--/-->."
            )
    return notebook


@functools.cache
def sources():
    """Return {id: source} of the cells of hw1.ipynb."""
    return {cell.id: cell.source for cell in read_notebook(ROOT / "hw1.ipynb").cells}


def run_cells(names, *ids):
    """Execute these cells of hw1.ipynb in the dictionary `names`, and return it."""
    for cell_id in ids:
        source, file = sources()[cell_id], f"<cell {cell_id}>"
        lines = source.splitlines(keepends=True)
        linecache.cache[file] = len(source), None, lines, file  # for tracebacks
        exec(compile(source, file, "exec"), names)
    return names


def write_atomically(path, content):
    """Write the bytes to `path`, which always holds the old ones or these.

    A file keeps its mode, and a symbolic link leads to the same file as before. Raises
    OSError, also if `path` is something else, such as a folder or a device.
    """
    path = path.resolve()
    if path.exists() and not path.is_file():
        raise OSError(f"{path} is no regular file: move it away")
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")  # git ignores it
    try:
        with temporary.open("wb") as file:
            if path.exists():
                temporary.chmod(stat.S_IMODE(path.stat().st_mode))
            file.write(content)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def interruptible():
    """Let Ctrl-C or SIGTERM in this block end the program with a sentence."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    except KeyboardInterrupt:
        sys.exit("Interrupted. All files are whole, the old ones or the new.")
    finally:
        signal.signal(signal.SIGTERM, before)
