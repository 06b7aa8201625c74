"""tools/run.py in a small project: what it writes; that a failure changes nothing."""

import os
import shutil
import signal
import subprocess
import sys

import nbformat
import pytest
from conftest import ROOT
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from run import PICTURE_CELL
from submission import run_problems

TEXT = "<!--= f'{x:.1f}' -->–<!--/-->, <!--= x > 2 -->old\n<!--/-->"
DRAW = "from IPython.display import Image\nImage(b'new', format='png')"


def project(folder, text="", **code):
    """Return the folder with a project: the text, an empty cell, a figure, the code."""
    for name in ("tools", "tmp"):
        (folder / name).mkdir(parents=True)
    shutil.copy(ROOT / "tools" / "run.py", folder / "tools")
    (folder / "tools" / "result.png").write_text("old")
    (folder / "README.md").write_text(text, "utf-8")
    cells = [new_markdown_cell(text), new_code_cell(" \n", execution_count=5)]
    for name, source in ({PICTURE_CELL: DRAW} | code).items():
        cells.append(new_code_cell(source, id=name))
    nbformat.write(new_notebook(cells=cells), folder / "hw1.ipynb")
    return folder


def run(folder):
    """Run run.py as `make run` does, but with a strict umask."""
    return subprocess.run(
        [sys.executable, "-Es", folder / "tools" / "run.py"],
        capture_output=True,
        text=True,
        umask=0o077,
        env=os.environ | {"TMPDIR": str(folder / "tmp")},
        # What is started in the background ignores SIGINT, and passes that on.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def state(folder):
    """Return the content and the mode of all there is, but for run.py's own .home."""
    return {
        path: path.is_file() and (path.read_bytes(), path.stat().st_mode & 0o777)
        for path in folder.rglob("*")
        if ".home" not in path.parts
    }


def test_run_replaces_notebook_readme_and_picture(tmp_path):
    before = state(project(tmp_path, "×" + TEXT, define="x = 2.25\nprint(x)"))
    (tmp_path / "hw1.ipynb").chmod(0o664)
    (tmp_path / "tools" / "result.png").unlink()
    with (tmp_path / "hw1.ipynb").open("rb") as reader:
        ran = run(tmp_path)
        # The old file was not written over: nobody ever sees half a notebook.
        assert reader.read() == before[tmp_path / "hw1.ipynb"][0]
    assert ran.returncode == 0 and "cell 4 of 4, define (x = 2.25)" in ran.stdout
    notebook = nbformat.read(tmp_path / "hw1.ipynb", as_version=4)
    text, *code = notebook.cells
    filled = "×<!--= f'{x:.1f}' -->2.2<!--/-->, <!--= x > 2 -->True<!--/-->"
    assert text.source == filled == (tmp_path / "README.md").read_text("utf-8")
    assert [cell.execution_count for cell in code] == [None, 1, 2]
    assert code[2].outputs[0].text == "2.25\n" and not list(run_problems(notebook))
    assert (tmp_path / "tools" / "result.png").read_text() == "new"
    after = state(tmp_path)
    assert after.keys() == before.keys()  # nothing is left in TMPDIR or elsewhere
    # The notebook keeps its mode; the picture, which is new, obeys the umask.
    modes = [after[tmp_path / name][1] for name in ("hw1.ipynb", "tools/result.png")]
    assert modes == [0o664, 0o600]


SIGNAL = "import os, time\nos.kill(os.{}(), {})\ntime.sleep(60)"


@pytest.mark.parametrize(
    ("content", "status", "said"),
    [
        ({"broken": "1 / 0"}, 1, "Failed in cell 4 of 4, broken (1 / 0)"),
        ({"text": TEXT}, 1, "expression f'{x:.1f}' failed: NameError"),
        ({"dies": SIGNAL.format("getpid", 9)}, 1, "in cell 4 of 4, dies (import os"),
        ({"slow": SIGNAL.format("getppid", 2)}, 130, "Interrupted in cell 4 of 4, s"),
        ({PICTURE_CELL: "7"}, 1, "The cell comparison-plot shows no figure"),
    ],
)
def test_failure_changes_no_file_and_says_where(content, status, said, tmp_path):
    before = state(project(tmp_path, **content))
    ran = run(tmp_path)
    assert ran.returncode == status and said in ran.stderr
    assert f"{tmp_path / 'hw1.ipynb'} was left as it was." in ran.stderr
    assert state(tmp_path) == before


def test_what_an_editor_saved_meanwhile_is_kept(tmp_path):
    ran = run(project(tmp_path, saves="print('edited', file=open('README.md', 'w'))"))
    assert ran.returncode == 1 and "has changed since this run began" in ran.stderr
    assert (tmp_path / "README.md").read_text() == "edited\n"
    assert (tmp_path / "tools" / "result.png").read_text() == "old"


def test_no_setting_of_the_user_reaches_the_kernel(kernel, started):
    """All other tests see that the results do not depend on them, either."""
    assert not kernel(get="dict(os.environ)").items() & started[2].items()
    flags = "sys.flags.optimize, sys.flags.safe_path, sys.warnoptions"
    assert kernel("import-sys", get=flags) == (0, False, [])
    others = "plt.rcParams['text.usetex'], 'hostile' in globals()"
    assert kernel(get=others) == (False, False)
