"""tools/submission.py: what it hands in, and what it refuses to hand in."""

import shutil
import subprocess
import zipfile

import build_derivation
import nbformat
import pytest
import submission
from conftest import copy_checkout
from nbformat.v4 import (
    new_code_cell,
    new_markdown_cell,
    new_notebook,
    new_output,
)
from run import digest

LINKS = """\
See
[](derivation/derivation.pdf) [](#a) [](https://a.b) ![](attachment:a)"""
PICTURE = {"a": {"image/png": "AAAA"}}


def sealed(cell):
    """Return the cell with its digest, as a run leaves it."""
    cell.metadata.digest = digest(cell)
    return cell


def small_notebook():
    """Return a notebook as a run leaves it."""
    text = sealed(new_markdown_cell("# One\n\n<!--= x -->7<!--/-->", id="text"))
    links = new_markdown_cell(LINKS, id="links", attachments=PICTURE)
    cells = [text, links, new_code_cell("", id="empty")]
    for count, name in enumerate(("edited", "again", "failed", "warned"), 1):
        cell = new_code_cell(f"x = {count}", id=name, execution_count=count)
        cell.outputs = [new_output("stream", name="stdout", text="7")]
        cells.append(sealed(cell))
    return new_notebook(cells=cells)


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project with the small notebook and an up-to-date PDF."""
    monkeypatch.setattr(submission, "ROOT", tmp_path)
    monkeypatch.setattr(submission, "NOTEBOOK", tmp_path / "hw1.ipynb")
    monkeypatch.setattr(submission, "PDF", tmp_path / "derivation.pdf")
    nbformat.write(small_notebook(), tmp_path / "hw1.ipynb")
    shutil.copy(build_derivation.PDF, tmp_path)
    return tmp_path


def refusal(project, capsys, notebook):
    """Return the lines that refuse this notebook, after which all is as was."""
    nbformat.write(notebook, project / "hw1.ipynb")
    (project / "jdoe_HW1.zip").write_bytes(b"the old one")
    before = {path: path.read_bytes() for path in project.iterdir()}
    assert submission.main("jdoe") == 1
    assert {path: path.read_bytes() for path in project.iterdir()} == before
    first, *lines = capsys.readouterr().err.splitlines()
    assert first == "jdoe_HW1.zip was not written:"
    return lines


# --- What is handed in ---


def test_make_submission_hands_in_the_stored_notebook_under_the_id(tmp_path):
    checkout = copy_checkout(tmp_path)
    command = ["make", "--directory", checkout, "submission"]
    made = subprocess.run(
        [*command, "ANDREW_ID=jdoe"], capture_output=True, text=True
    )
    assert made.returncode == 0, made.stderr
    assert [path.name for path in checkout.glob("*.zip")] == ["jdoe_HW1.zip"]


def test_zip_holds_both_files_and_nothing_of_the_day(project):
    assert submission.main("J-Doe_2") == 0
    with zipfile.ZipFile(project / "J-Doe_2_HW1.zip") as file:
        assert file.namelist() == [
            "J-Doe_2_HW1/J-Doe_2_hw1.ipynb",
            "J-Doe_2_HW1/J-Doe_2_hw1_derivation.pdf",
        ]
        text, pdf = (file.read(name) for name in file.namelist())
        for entry in file.infolist():
            assert entry.date_time == (1980, 1, 1, 0, 0, 0)
            assert entry.external_attr >> 16 == 0o644  # who may read it
    assert pdf == build_derivation.PDF.read_bytes()
    handed_in = nbformat.reads(text.decode(), 4)
    assert "[](J-Doe_2_hw1_derivation.pdf)" in handed_in.cells[1].source
    handed_in.cells[1].source = LINKS
    assert handed_in.cells == small_notebook().cells


# --- What is refused ---


@pytest.mark.parametrize(
    "name", ["", "j doe", "jdoe\n", "../jdoe", "jdöe", "--help"]
)
def test_bad_id_gets_one_sentence_with_an_example(name, project, capsys):
    assert submission.main(name) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "make submission ANDREW_ID=jdoe" in line
    assert not list(project.glob("*.zip"))


def test_what_changed_since_make_run_is_named_below_what_to_do(project, capsys):
    """After *Run All* and *Save* in JupyterLab, or an edit without a run."""
    notebook = small_notebook()
    text, _, _, edited, again, *_ = notebook.cells
    text.source = "<!--= x -->8<!--/-->"
    edited.source = "x = 0.1"
    again.outputs[0].text = "8"
    notebook.cells.append(new_code_cell("z", id="new"))
    advice, *changed = refusal(project, capsys, notebook)
    assert "make run, then make submission again" in advice
    assert changed == [
        "- text (<!--= x -->8<!--/-->) has changed since make run",
        "- edited (x = 0.1) has changed since make run",
        "- again (x = 2) has changed since make run",
        "- new (z) has changed since make run",
    ]


def test_cells_run_in_another_order_are_refused(project, capsys):
    notebook = small_notebook()
    notebook.cells[-1].execution_count = 7
    (advice,) = refusal(project, capsys, notebook)
    assert "make run, then make submission again" in advice


def test_all_else_that_a_grader_would_see_is_said_at_once(
    project, capsys, monkeypatch
):
    notebook = small_notebook()
    _, links, *_, failed, warned = notebook.cells
    links.source += " [a](data/a.py) ![b](b.png)"
    error = new_output("error", ename="KeyError", evalue="", traceback=[])
    failed.outputs = [error]
    warned.outputs = [new_output("stream", name="stderr", text="careful")]
    sealed(failed), sealed(warned)
    notebook.cells.append(new_markdown_cell(r"$\left( y$", id="formula"))
    source = project / "derivation.tex"
    source.write_bytes(build_derivation.SOURCE.read_bytes() + b"%")
    monkeypatch.setattr(build_derivation, "SOURCE", source)
    expected = [
        "- failed (x = 3) failed (KeyError)",
        "- warned (x = 4) wrote a warning",
        "- links (See) links to data/a.py",
        "- links (See) links to b.png",
        r"- formula ($\left( y$) cannot be shown",
        "- derivation.pdf is not built from its source: make derivation",
    ]
    lines = refusal(project, capsys, notebook)
    for begin, line in zip(expected, lines, strict=True):
        assert line.startswith(begin)


def test_notebook_without_ids_is_refused_by_first_lines(project, capsys):
    """As older Jupyters and Colab save it, without what make run left, too."""
    old = small_notebook()
    for cell in old.cells:
        del cell["id"]
        cell.metadata.pop("digest", None)
    old.nbformat_minor = 4
    advice, *changed = refusal(project, capsys, old)
    assert "make run" in advice
    assert len(changed) == 5 and "(x = 1) has changed" in changed[1]
