"""The tools, each in a small project of its own, and the lock."""

import os
import re
import zipfile

import nbformat
import pytest
import run
import submission
from common import ROOT
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

MARKED = "# Title\n<!--= f'{x:.1f}' -->0.0<!--/-->, [PDF](derivation/derivation.pdf)"
SHOW = """\
x = 2.25
print("1,", end="", flush=True)
print(2)
display(3)
print(4)
"""
FAILURES = {
    "1 / 0": "ZeroDivisionError",
    "y = 1": "name 'x' is not defined",
    "import os, time\nos.kill(os.getpid(), 9)\ntime.sleep(60)": "Kernel died",
    "x = 1\nopen('hw1.ipynb', 'a').write(' ')": "Another program",
}


def project(folder, code):
    """Write a PDF and a notebook with this code; return the path of that."""
    (folder / "derivation").mkdir()
    (folder / "derivation" / "derivation.pdf").write_bytes(b"%PDF-1.7")
    cells = [new_markdown_cell(MARKED), new_code_cell(code, id="code")]
    nbformat.write(new_notebook(cells=cells), folder / "hw1.ipynb")
    return folder / "hw1.ipynb"


def test_run_keeps_order_of_outputs(tmp_path, capfd):
    path = project(tmp_path, SHOW)
    run.main(tmp_path)
    text, code = nbformat.read(path, as_version=4).cells
    assert text.source == MARKED.replace("0.0", "2.2")
    shown = [each.get("text") or each.data["text/plain"] for each in code.outputs]
    assert shown == ["1,2\n", "3", "4\n"]
    assert capfd.readouterr().err == "", "it warns"


@pytest.mark.parametrize("code", FAILURES)
def test_failed_run_changes_nothing(code, tmp_path):
    path = project(tmp_path, code)
    before = path.read_bytes()
    with pytest.raises(SystemExit, match=FAILURES[code]):
        run.main(tmp_path)
    assert path.read_bytes().strip() == before.strip()
    assert sorted(os.listdir(tmp_path)) == ["derivation", "hw1.ipynb"]


def test_merge_conflict_is_named(tmp_path):
    path = project(tmp_path, "x = 1")
    path.write_text('{\n "cells": [\n<<<<<<< HEAD\n  {}]}\n')
    with pytest.raises(SystemExit, match=r"hw1\.ipynb.*git checkout HEAD"):
        run.main(tmp_path)


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
    assert rest.endswith("2.2<!--/-->, [PDF](jdoe_hw1_derivation.pdf)")
    assert code.execution_count == 1 and pdf == b"%PDF-1.7"


@pytest.mark.parametrize("name", ["", "j doe", "../jdoe", "--help", "jdoe"])
def test_unfit_submission_is_refused(name, tmp_path, capsys):
    project(tmp_path, "x = 2.25")
    if name == "jdoe":
        (tmp_path / "derivation" / "derivation.pdf").unlink()
    with pytest.raises(SystemExit, match=r"ANDREW_ID=jdoe|make derivation"):
        submission.main(name, tmp_path)
    assert capsys.readouterr().out == "", "the notebook was run"


def test_warning_is_not_handed_in(tmp_path):
    project(tmp_path, "import sys\nx = 1\nprint('careful', file=sys.stderr)")
    with pytest.raises(SystemExit, match="the cell code"):
        submission.main("jdoe", tmp_path)
    assert not list(tmp_path.glob("*.zip"))


@pytest.mark.parametrize("name", ["requirements.txt", "tools/requirements.txt"])
def test_lock_has_every_pin(name):
    locked = (ROOT / "tools" / "requirements.lock").read_text("utf-8")
    for pin in re.findall("^[^ #;\n]+", (ROOT / name).read_text("utf-8"), re.M):
        entry = re.search(rf"(?im)^{re.escape(pin)} .*\\\n +--hash=", locked)
        assert entry, f"{pin} of {name} is not locked: make lock"
