"""The tools and the Makefile, each in a small project of its own."""

import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import nbformat
import notebook
import pytest
import run
import submission
from conftest import ROOT, needs
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

MARKED = "# Title\n<!--= f'{x:.1f}' -->–<!--/-->, [PDF](derivation/derivation.pdf)"
FILLED = MARKED.replace("–", "2.2")


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project with a PDF, whose notebook is yet to be written; its own TMPDIR."""
    folder = tmp_path / "project"
    (folder / "derivation").mkdir(parents=True)
    (folder / "derivation" / "derivation.pdf").write_bytes(b"%PDF-1.7")
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    monkeypatch.setattr(tempfile, "tempdir", None)  # look at TMPDIR again
    return folder


def write(project, *code, text=MARKED):
    """Write a notebook with the text and these code cells; return its bytes."""
    old = {"execution_count": 7, "outputs": [new_output("stream", text="old")]}
    cells = [new_code_cell(code, id=f"code-{i}", **old) for i, code in enumerate(code)]
    cells.insert(0, new_markdown_cell(text, id="text"))
    nbformat.write(new_notebook(cells=cells), project / "hw1.ipynb")
    return (project / "hw1.ipynb").read_bytes()


def files_in(folder):
    """Return what the files in the folder hold."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# --- run.py ---


@pytest.mark.parametrize("tmp", ["tmp", 100 * "t"])  # paths of sockets are short
def test_run_fills_the_texts(tmp, project, monkeypatch, tmp_path, capfd):
    """From a file in another folder, with a byte order mark, and an empty cell."""
    (tmp_path / tmp).mkdir(exist_ok=True)
    monkeypatch.setenv("TMPDIR", str(tmp_path / tmp))
    monkeypatch.setenv("PYTHONOPTIMIZE", "2")
    stored = tmp_path / "stored.ipynb"
    show = "import sys\nx = 2.25\nprint('optimize', sys.flags.optimize)"
    stored.write_bytes(b"\xef\xbb\xbf" + write(project, show, " \n"))
    stored.chmod(0o600)
    (project / "hw1.ipynb").unlink()
    (project / "hw1.ipynb").symlink_to(stored)
    run.main(project)
    assert "code-0" in capfd.readouterr().out
    text, code, empty = nbformat.read(stored, as_version=4).cells
    assert (text.source, code.execution_count) == (FILLED, 1)
    assert code.outputs == [new_output("stream", text="optimize 0\n")]
    assert (empty.execution_count, empty.outputs) == (None, [])
    assert (project / "hw1.ipynb").is_symlink()
    assert stat.S_IMODE(stored.stat().st_mode) == 0o600, "others may read it now"
    assert not list((tmp_path / tmp).iterdir()), "something is left behind"


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("1 / 0", "code-0.*ZeroDivisionError"),
        ("y = 1", "name 'x' is not defined"),
        ("import os, time\nos.kill(os.getpid(), 9)\ntime.sleep(60)", "code-0.*died"),
        ("import os, time\nos.kill(os.getppid(), 2)\ntime.sleep(60)", "Interrupted"),
        ("x = 1\nopen('hw1.ipynb', 'a').write(' ')", "Another program has changed it"),
    ],
)
def test_failure_changes_no_file_and_says_why(code, said, project):
    before = write(project, code)
    with pytest.raises(SystemExit, match=f"(?s){said}.* was left as it was") as error:
        run.main(project)
    assert "\x1b" not in str(error.value), "colours, although this is no terminal"
    assert (project / "hw1.ipynb").read_bytes().strip() == before.strip()
    assert len(files_in(project.parent)) == 2, "something is left behind"


@pytest.mark.parametrize(
    ("tool", "signal", "when"),
    [
        ("run.py", 2, "imports"),
        ("submission.py", 15, "imports"),
        ("submission.py", 15, "runs"),
    ],
)
def test_tool_that_is_stopped_says_so(tool, signal, when, project, tmp_path):
    stop = f"import os, time\nos.kill(os.{{}}(), {signal})\ntime.sleep(60)"
    before = write(project, stop.format("getppid"))
    shutil.copytree(ROOT / "tools", project / "tools")
    if when == "imports":
        (project / "tools" / "nbformat.py").write_text(stop.format("getpid"))
    command = [sys.executable, "-B", project / "tools" / tool, "jdoe"]
    ran = subprocess.run(command, stderr=subprocess.PIPE, text=True)
    assert ran.returncode and "Interrupted" in ran.stderr
    assert "Traceback" not in ran.stderr
    assert (project / "hw1.ipynb").read_bytes() == before
    assert not list((tmp_path / "tmp").iterdir()), "something is left behind"


# --- notebook.py ---


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("<!--= a -->1, all between <!--= b -->2<!--/-->", "text.*<!--/-->"),
        ("<!--= a <!--/-->", "text.*-->"),
        (None, "line 3 .*<<<<<<< HEAD"),
    ],
)
def test_bad_notebook_is_refused_before_the_first_cell(text, said, project, capsys):
    if text:
        write(project, "print(1)", text=text)
    else:
        (project / "hw1.ipynb").write_text('{\n "cells": [\n<<<<<<< HEAD\n  {}]}\n')
    with pytest.raises(SystemExit, match=f"hw1.ipynb.*{said}"):
        run.main(project)
    assert capsys.readouterr().out == ""


def test_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "file"
    notebook.write_atomically(path, b"old")
    with pytest.raises(TypeError):
        notebook.write_atomically(path, "no bytes")
    assert files_in(tmp_path) == {path: b"old"}


@pytest.mark.parametrize("target", [".", os.devnull])
def test_only_regular_files_are_written(target, tmp_path):
    (tmp_path / "link").symlink_to(target)
    with pytest.raises(OSError, match="no regular file"):
        notebook.write_atomically(tmp_path / "link", b"new")
    assert os.listdir(tmp_path) == ["link"]
    assert not Path(os.devnull).is_file(), "the device of this machine is replaced"


# --- submission.py ---


def test_zip_holds_the_executed_notebook_and_the_pdf(project):
    write(project, "x = 2.25")
    submission.main("jdoe", project)
    with zipfile.ZipFile(project / "jdoe_HW1.zip") as file:
        names = ["jdoe_HW1/jdoe_hw1.ipynb", "jdoe_HW1/jdoe_hw1_derivation.pdf"]
        assert file.namelist() == names
        for member in file.infolist():
            assert stat.S_IMODE(member.external_attr >> 16) == 0o644
        handed_in, pdf = (file.read(name) for name in names)
    text, code = nbformat.reads(handed_in.decode(), as_version=4).cells
    title, *lines = text.source.split("\n")
    assert title == "# Title" and "jdoe" in "".join(lines[:-1])
    assert lines[-1].endswith("2.2<!--/-->, [PDF](jdoe_hw1_derivation.pdf)")
    assert code.execution_count == 1 and pdf == b"%PDF-1.7"


BAD_IDS = ["", "j doe", "jdoe\n", "../jdoe", "jdöe", "--help", 240 * "j"]


@pytest.mark.parametrize("bad", [*BAD_IDS, "zip", "missing", "a folder", "empty"])
def test_what_cannot_be_handed_in_is_refused_before_the_first_cell(bad, project):
    pdf = project / "derivation" / "derivation.pdf"
    if bad == "zip":
        (project / "jdoe_HW1.zip").mkdir()
    elif bad == "empty":
        pdf.write_bytes(b"")
    elif bad in ("missing", "a folder"):
        pdf.unlink()
    if bad == "a folder":
        pdf.mkdir()
    write(project, "x = 2.25")
    before = files_in(project)
    advice = r"ANDREW_ID=jdoe|move it away|make derivation"
    with pytest.raises(SystemExit, match=advice):
        submission.main(bad if bad in BAD_IDS else "jdoe", project)
    assert files_in(project) == before


def test_warning_is_not_handed_in(project):
    write(project, "import sys\nx = 1\nprint('careful', file=sys.stderr)")
    with pytest.raises(SystemExit, match=r"code-0.*warning"):
        submission.main("jdoe", project)
    assert not list(project.glob("*.zip"))


# --- The Makefile ---

# Stands for uv and for Python: notes how it was called, makes the folders of `uv venv`,
# and ends badly in a call that holds the word of $FAILS or $DIES, the latter by taking
# make along.
STUB = """\
#!/bin/sh
echo "$(basename "$0") $* $UV_TARGET$PIP_TARGET$PYTHONPATH" >> "$LOG"
case "$*" in
*$FAILS*) exit 1 ;;
*$DIES*) kill -9 0 ;;
*" venv "*)
    for new; do :; done  # the last argument
    mkdir -p "$new/bin" "$new/lib" && cp "$0" "$new/bin/python" ;;
esac
"""


class Checkout:
    """A folder with the Makefile and the stub as its uv."""

    def __init__(self, folder):
        self.folder, self.log = folder, folder.parent / "log"
        (folder / "tools").mkdir(parents=True)
        (folder / ".uv").mkdir()
        shutil.copy(ROOT / "Makefile", folder)
        self.lock = folder / "tools" / "requirements.lock"
        self.lock.write_text("one lock\n")
        (uv,) = (ROOT / ".uv").glob("uv-*")
        (folder / ".uv" / uv.name).write_text(STUB)
        (folder / ".uv" / uv.name).chmod(0o755)

    def make(self, *targets, fails="-none-", dies="-none-"):
        """Run `make`; return its exit status and the calls of uv and Python."""
        self.log.write_text("")
        settings = {"FAILS": fails, "DIES": dies, "LOG": str(self.log)}
        foreign = dict.fromkeys(["UV_TARGET", "PIP_TARGET", "PYTHONPATH"], "foreign")
        ran = subprocess.run(
            ["make", *targets],
            cwd=self.folder,
            env=os.environ | foreign | settings,
            capture_output=True,
            start_new_session=True,  # for kill -9 0
        )
        calls = self.log.read_text().splitlines()
        assert "foreign" not in self.log.read_text(), "a setting of the user's passes"
        return ran.returncode, calls


@pytest.fixture
def checkout(tmp_path):
    return Checkout(tmp_path / 'it\'s a "chéckout" #1: 100% $HOME')


def test_set_up_is_whole_or_not_there(checkout):
    venv = checkout.folder / ".venv"
    left, busy = (checkout.folder / f".venv.{pid}" for pid in (10**9, os.getpid()))
    for folder in venv, left, busy:  # .venv: half installed, by an older Makefile
        (folder / "bin").mkdir(parents=True)
    assert checkout.make("html", dies="pip sync")[0] == -9
    assert not venv.exists()
    assert busy.exists() and not left.exists()
    assert checkout.make("html", fails="pip sync")[0]
    assert not venv.exists()
    status, (create, install, start) = checkout.make("html")
    assert status == 0 and " venv " in create and start.startswith("python")
    assert " pip sync " in install and " --require-hashes " in install
    assert checkout.make("html") == (0, [start]), "it is installed again"
    checkout.lock.write_text("another lock\n")
    assert len(checkout.make("html")[1]) == 3, "it is not installed again"
    (venv / "bin" / "python").unlink()
    assert len(checkout.make("html")[1]) == 3, "it is not installed again"


@pytest.mark.parametrize(
    ("command", "script"),
    [
        ("run", "tools/run.py"),
        ("html", "tools/export_html.py"),
        ("submission", "tools/submission.py jdoe"),
    ],
)
def test_command_sets_up_and_starts_its_script(command, script, checkout):
    status, calls = checkout.make(command, "ANDREW_ID=jdoe")
    assert status == 0 and len(calls) == 3
    assert calls[-1].strip() == f"python {script}"
    assert (ROOT / script.split()[0]).exists()
    assert checkout.make(command, fails=script.split()[0])[0], "the failure is lost"


def test_make_test_leaves_nothing_out(checkout, pytestconfig):
    status, (*_, check, layout, tests) = checkout.make("test")
    assert status == 0
    assert " ruff check " in check and " ruff format --check " in layout
    for path in "hw1.ipynb", "data", "tools", "tests":
        assert f" {path} " in check and f" {path} " in layout, f"{path} is left out"
    assert tests.startswith("python -m pytest")
    options = tests.split()[3:] + pytestconfig.getini("addopts")
    for option in "-m", "-k", "--ignore", "--deselect", "--collect-only":
        assert not any(each.startswith(option) for each in options), (
            f"{option} leaves tests out"
        )
    for step in "ruff check", "ruff format", "pytest":
        assert checkout.make("test", fails=step)[0], f"the failure of {step} is lost"


def test_lock_has_hashes_and_every_pin(checkout):
    (*_, call) = checkout.make("lock")[1]
    assert " pip compile " in call and " --generate-hashes " in call
    locked = (ROOT / "tools" / "requirements.lock").read_text("utf-8")
    entries = re.findall(r"^[^\s#].*(?:\n +--hash=.*)*", locked, re.M)
    assert all("--hash=" in entry for entry in entries)
    pins = {entry.split()[0].lower() for entry in entries}
    for name in "requirements.txt", "tools/requirements.txt":
        wanted = re.findall(r"^[^\s#;]+", (ROOT / name).read_text("utf-8"), re.M)
        assert wanted
        for pin in wanted:
            assert pin.lower() in pins, f"{pin} of {name} is not locked: make lock"


def test_clean_removes_nothing_that_git_tracks(checkout):
    if not (ROOT / ".git").exists():
        pytest.skip("this is no checkout of git")
    listed = subprocess.check_output(["git", "ls-files"], cwd=ROOT, text=True)
    kept = {checkout.folder / name for name in listed.splitlines()}
    for path in kept:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    checkout.make("setup")
    assert checkout.make("clean")[0] == 0
    assert set(files_in(checkout.folder)) == kept


def test_derivation_that_latex_complains_about_leaves_the_old_pdf(checkout):
    needs("latexmk", "latexmk texlive-latex-recommended texlive-latex-extra lmodern")
    tex = checkout.folder / "derivation" / "derivation.tex"
    tex.parent.mkdir()
    begin, end = r"\documentclass{article}\begin{document}", r"\end{document}"
    tex.write_text(begin + "good" + end)
    assert checkout.make("derivation")[0] == 0
    before = tex.with_suffix(".pdf").read_bytes()
    for bad in r"\ref{nowhere}", r"\hbox to 1em{too wide}":
        tex.write_text(begin + bad + end)
        assert checkout.make("derivation")[0], bad
        assert tex.with_suffix(".pdf").read_bytes() == before


@pytest.mark.parametrize("status", [0, 3])
def test_ci_leaves_no_test_out_and_keeps_the_status(status, tmp_path, monkeypatch):
    for program in "make", "latexmk", "pdflatex", "chromium":
        stub = f'#!/bin/sh\necho "make $* in CI: $CI"\nexit {status}\n'
        (tmp_path / program).write_text(stub)
        (tmp_path / program).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    ran = subprocess.run([ROOT / ".ci" / "run"], text=True, stdout=subprocess.PIPE)
    assert (ran.returncode, ran.stdout) == (status, "make test in CI: true\n")
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception):
        needs("a program that nobody has", "nothing")
