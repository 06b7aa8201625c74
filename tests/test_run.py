"""tools/run.py in a small project: what it writes, what a failure leaves."""

import json
import os
import shutil
import signal
import subprocess
import sys

import nbformat
import pytest
import run
from conftest import ROOT
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from submission import run_problems

TEXT = "<!--= f'{x:.1f}' -->–<!--/-->, <!--= x > 2 -->old\n<!--/-->"
FILLED = "<!--= f'{x:.1f}' -->2.2<!--/-->, <!--= x > 2 -->True<!--/-->"
DRAW = "from IPython.display import Image\nImage(b'new', format='png')"


def make_project(folder, text="", **code):
    """Write a project: the text, an empty cell, README's figure, the code."""
    (folder / "tools").mkdir()
    shutil.copy(ROOT / "tools" / "run.py", folder / "tools")
    (folder / "tools" / "result.png").write_text("old")
    (folder / "README.md").write_text(text, "utf-8")
    cells = [new_markdown_cell(text), new_code_cell(" \n", execution_count=5)]
    for name, source in ({run.PICTURE_CELL: DRAW} | code).items():
        cells.append(new_code_cell(source, id=name))
    nbformat.write(new_notebook(cells=cells), folder / "hw1.ipynb")


def state(folder):
    """Return content and mode of all files, but for run.py's own .home."""
    return {
        path: (path.read_bytes(), path.stat().st_mode & 0o777)
        for path in folder.rglob("*")
        if path.is_file() and ".home" not in path.parts
    }


def start_run(folder, **settings):
    """Run run.py as a process of its own; return what it printed, and how."""
    return subprocess.run(
        [sys.executable, folder / "tools" / "run.py"],
        capture_output=True,
        text=True,
        umask=0o077,
        env=os.environ | settings,
        # What is started in the background ignores SIGINT, and passes that on.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


@pytest.fixture
def run_here(tmp_path, monkeypatch):
    """The function `main` of run.py, for a project in `tmp_path`.

    In this process, because to import the libraries again takes two seconds.
    """
    monkeypatch.setattr(os, "environ", os.environ.copy())  # it is emptied
    monkeypatch.setattr(run, "ROOT", tmp_path)
    monkeypatch.setattr(run, "HOME", tmp_path / ".home")
    monkeypatch.setattr(run, "NOTEBOOK", tmp_path / "hw1.ipynb")
    monkeypatch.setattr(run, "README", tmp_path / "README.md")
    monkeypatch.setattr(run, "PICTURE", tmp_path / "tools" / "result.png")
    return run.main


# --- What is written ---

SETTINGS = {
    "MPLBACKEND": "svg",
    "THEANO_FLAGS": "device=cuda",
    "PYTHONPATH": "/of/the/user",
    "PYTHONOPTIMIZE": "2",
    "ANYTHING": "else",
}
SHOW = "import os, sys\nprint(dict(os.environ), sys.flags, sys.path)"


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The folder of a run, its state before, what a reader saw meanwhile."""
    folder = tmp_path_factory.mktemp("finished")
    make_project(folder, "×" + TEXT, define="x = 2.25\nprint(x)", show=SHOW)
    (folder / "hw1.ipynb").chmod(0o664)
    before = state(folder)
    (folder / "tools" / "result.png").unlink()
    with (folder / "hw1.ipynb").open("rb") as reader:
        ran = start_run(folder, **SETTINGS)
        assert ran.returncode == 0, ran.stderr
        assert "cell 4 of 5, define (x = 2.25)" in ran.stdout
        return folder, before, reader.read()


def test_run_replaces_notebook_readme_and_picture(finished):
    folder, _, _ = finished
    notebook = run.read_notebook(folder / "hw1.ipynb")
    text, *code = notebook.cells
    assert text.source == "×" + FILLED
    assert (folder / "README.md").read_text("utf-8") == "×" + FILLED
    assert [cell.execution_count for cell in code] == [None, 1, 2, 3]
    assert code[2].outputs[0].text == "2.25\n"
    assert (folder / "tools" / "result.png").read_text() == "new"
    assert not list(run_problems(notebook)), "make submission would refuse it"


def test_run_never_writes_over_a_file_and_keeps_its_mode(finished):
    folder, before, seen_meanwhile = finished
    after = state(folder)
    assert seen_meanwhile == before[folder / "hw1.ipynb"][0]
    assert after.keys() == before.keys(), "something is left behind"
    assert after[folder / "hw1.ipynb"][1] == 0o664
    assert after[folder / "tools" / "result.png"][1] == 0o600  # the umask's


def test_no_setting_of_the_user_reaches_the_kernel(finished):
    (output,) = run.read_notebook(finished[0] / "hw1.ipynb").cells[-1].outputs
    assert "'PATH': " in output.text and "optimize=0" in output.text
    for name, value in SETTINGS.items():
        assert f"{name!r}: {value!r}" not in output.text
    assert SETTINGS["PYTHONPATH"] not in output.text


def test_notebook_in_a_synchronised_folder_stays_a_link(tmp_path):
    (tmp_path / "hw1.ipynb").write_text("old")
    (tmp_path / "link").symlink_to(tmp_path / "hw1.ipynb")
    run.write_atomically(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "hw1.ipynb").read_text() == "new"


def test_notebook_saved_without_ids_is_run(tmp_path, run_here, capsys):
    """As older Jupyters and Colab save it: format 4.4."""
    make_project(tmp_path, TEXT, define="x = 2.25")
    notebook = json.loads((tmp_path / "hw1.ipynb").read_text())
    for cell in notebook["cells"]:
        del cell["id"]
    notebook["nbformat_minor"] = 4
    (tmp_path / "hw1.ipynb").write_text(json.dumps(notebook))
    assert run_here() == 0
    said = capsys.readouterr().out
    assert "(x = 2.25)" in said and "picture stays as it is" in said
    assert (tmp_path / "README.md").read_text() == FILLED
    assert (tmp_path / "tools" / "result.png").read_text() == "old"


# --- What a failure leaves ---

KILL = "import os, time\nos.kill(os.getpid(), 9)\ntime.sleep(60)"
INTERRUPT = "import os, time\nos.kill(os.getppid(), 2)\ntime.sleep(60)"
DIES = "<!--= os.kill(os.getpid(), 9) -->–<!--/-->"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"broken": "1 / 0"}, "Failed in cell 4 of 4, broken (1 / 0)"),
        ({"dies": KILL}, "Failed in cell 4 of 4, dies (import os"),
        ({"text": TEXT}, "expression f'{x:.1f}' failed: NameError"),
        pytest.param(  # nbclient waits for five seconds
            {"text": DIES, "last": "import os"},
            "Kernel died",
            marks=pytest.mark.slow,
        ),
        ({run.PICTURE_CELL: "7"}, f"{run.PICTURE_CELL} shows no figure"),
    ],
)
def test_failure_changes_no_file_and_says_where(
    content, said, tmp_path, run_here, capsys
):
    make_project(tmp_path, **content)
    before = state(tmp_path)
    assert run_here() == 1
    error = capsys.readouterr().err
    assert said in error
    assert f"{tmp_path / 'hw1.ipynb'} was left as it was." in error
    assert state(tmp_path) == before


def test_interrupt_changes_no_file_and_says_where(tmp_path):
    make_project(tmp_path, slow=INTERRUPT)
    before = state(tmp_path)
    ran = start_run(tmp_path)
    assert "Interrupted in cell 4 of 4, slow (import os" in ran.stderr
    assert "hw1.ipynb was left as it was." in ran.stderr
    assert "Traceback" not in ran.stderr
    assert state(tmp_path) == before


def test_interrupt_during_the_imports_is_one_sentence(tmp_path):
    make_project(tmp_path)
    module = tmp_path / "tools" / "nbformat.py"  # run.py imports this one
    module.write_text("import os\nos.kill(os.getpid(), 2)")
    said = "Interrupted before the first cell: nothing was changed.\n"
    assert start_run(tmp_path).stderr == said


def test_kernel_that_does_not_start_is_one_sentence(tmp_path, run_here, capsys):
    """On a full disk, say: the kernel looks for modules in its folder first."""
    make_project(tmp_path)
    (tmp_path / "ipykernel_launcher.py").write_text("raise SystemExit")
    assert run_here() == 1
    assert "Kernel died" in capsys.readouterr().err


def test_conflict_of_git_is_named_with_its_line(tmp_path, run_here, capsys):
    make_project(tmp_path)
    path = tmp_path / "hw1.ipynb"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join([*lines[:6], "<<<<<<< HEAD\n", *lines[6:]]))
    assert run_here() == 1
    said = capsys.readouterr().err
    assert "conflict markers of git, the first in line 7" in said


def test_what_an_editor_saved_meanwhile_is_kept(tmp_path, run_here, capsys):
    saves = "print('edited', file=open('README.md', 'w'))"
    make_project(tmp_path, saves=saves)
    assert run_here() == 1
    assert "has changed since this run began" in capsys.readouterr().err
    assert (tmp_path / "README.md").read_text() == "edited\n"
    assert (tmp_path / "tools" / "result.png").read_text() == "old"
