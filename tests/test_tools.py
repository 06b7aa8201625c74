"""The tools, each in a small project of its own."""

import os
import re
import zipfile
from pathlib import Path

import nbformat
import pytest
import run
import submission
from common import write_atomically
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

MARKED = "# Title\n<!--= round(x, 1) -->{}<!--/-->, <!--= 2 * x -->{}<!--/-->, "
MARKED += "[PDF](derivation/derivation.pdf)"
SHOW = """\
import sys
x = 2.25
print("1,", end="", flush=True)
print(2, flush=True)
print("careful", file=sys.stderr, flush=True)
display(3)
print(4)
"""
FAILURES = {
    "1 / 0": "ZeroDivisionError",
    "y = 1": "name 'x' is not defined",
    "import os, time\nos.kill(os.getpid(), 9)\ntime.sleep(60)": "Kernel died",
    "x = 1\nopen('hw1.ipynb', 'a').write(' ')": "Another program",
}


def project(folder, code, text=MARKED):
    """Write a PDF and a notebook with this code; return the path of that."""
    (folder / "derivation").mkdir()
    (folder / "derivation" / "derivation.pdf").write_bytes(b"%PDF-1.7")
    cells = [new_markdown_cell(text, id="text"), new_code_cell(code, id="code")]
    nbformat.write(new_notebook(cells=cells), folder / "hw1.ipynb")
    return folder / "hw1.ipynb"


def test_run_fills_and_keeps_order(tmp_path, capfd):
    """Also without ids, as Colab saves it, and with Notepad's byte order mark."""
    path = project(tmp_path, SHOW)
    old = re.sub(r' *"id": .*\n', "", path.read_text())
    path.write_text(old.replace('minor": 5', 'minor": 4'), "utf-8-sig")
    run.main(tmp_path)
    text, code = nbformat.read(path, as_version=4).cells
    assert text.source == MARKED.format("2.2", "4.5")
    shown = [each.get("text") or each.data["text/plain"] for each in code.outputs]
    assert shown == ["1,2\n", "careful\n", "3", "4\n"]
    assert capfd.readouterr().err == "", "run.py itself warns"


@pytest.mark.parametrize("code", FAILURES)
def test_failed_run_changes_nothing(code, tmp_path):
    path = project(tmp_path, code)
    before = path.read_bytes()
    with pytest.raises(SystemExit, match=FAILURES[code]):
        run.main(tmp_path)
    assert path.read_bytes().strip() == before.strip()
    assert sorted(os.listdir(tmp_path)) == ["derivation", "hw1.ipynb"]


def test_broken_texts_are_named(tmp_path):
    path = project(tmp_path, "x = 1", text="<!--= x -->1<!--")
    with pytest.raises(SystemExit, match="In text"):
        run.main(tmp_path)
    path.write_text('{\n "cells": [\n<<<<<<< HEAD\n  {}]}\n')
    with pytest.raises(SystemExit, match=r"line 3 .*git checkout"):
        run.main(tmp_path)


def test_written_file_is_old_or_new(tmp_path, monkeypatch):
    path, link, write = tmp_path / "file", tmp_path / "link", Path.write_bytes
    path.write_bytes(b"old")
    path.chmod(0o600)
    link.symlink_to(path)

    def half(path, content):
        write(path, content[:1])
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Path, "write_bytes", half)
        write_atomically(link, b"new")
    assert path.read_bytes() == b"old" and len(os.listdir(tmp_path)) == 2
    write_atomically(link, b"new")
    assert path.read_bytes() == b"new" and link.is_symlink()
    assert path.stat().st_mode & 0o777 == 0o600


def test_zip_holds_notebook_and_pdf(tmp_path):
    project(tmp_path, "x = 2.25")
    submission.main("jdoe", tmp_path)
    with zipfile.ZipFile(tmp_path / "jdoe_HW1.zip") as file:
        names = ["jdoe_HW1/jdoe_hw1.ipynb", "jdoe_HW1/jdoe_hw1_derivation.pdf"]
        assert file.namelist() == names
        assert {each.external_attr >> 16 & 0o777 for each in file.filelist} == {0o644}
        handed_in, pdf = (file.read(name) for name in names)
    text, code = nbformat.reads(handed_in.decode(), as_version=4).cells
    title, *id_lines, rest = text.source.split("\n")
    assert title == "# Title" and "jdoe" in "".join(id_lines)
    assert rest.endswith("4.5<!--/-->, [PDF](jdoe_hw1_derivation.pdf)")
    assert code.execution_count == 1 and pdf == b"%PDF-1.7"


@pytest.mark.parametrize("name", ["", "../jdoe"])
def test_unfit_id_is_refused(name, tmp_path):
    with pytest.raises(SystemExit, match="ANDREW_ID=jdoe"):
        submission.main(name, tmp_path)


def test_warning_is_not_handed_in(tmp_path):
    project(tmp_path, SHOW)
    with pytest.raises(SystemExit, match="the cell code"):
        submission.main("jdoe", tmp_path)
    assert not list(tmp_path.glob("*.zip"))
