"""tools/submission.py: what it hands in, and what it refuses to hand in."""

import shutil
import zipfile

import build_derivation
import nbformat
import pytest
import submission
from conftest import ROOT
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from run import digest

LINKS = "See\n[](derivation/derivation.pdf) [](#a) [](https://a.b) ![](attachment:a)"
PICTURE = {"a": {"image/png": "AAAA"}}


def sealed(cell):
    """Return the cell with its digest, as a run leaves it."""
    cell.metadata.digest = digest(cell)
    return cell


def small_notebook():
    """Return a notebook as a run leaves it."""
    output = new_output("stream", name="stdout", text="7")
    code = [
        sealed(new_code_cell(f"x = {i}", id=name, execution_count=i, outputs=[output]))
        for i, name in enumerate(("edited", "again", "failed", "warned"), 1)
    ]
    text = sealed(new_markdown_cell("# One\n\n<!--= x -->7<!--/-->", id="text"))
    links = new_markdown_cell(LINKS, id="links", attachments=PICTURE)
    return new_notebook(cells=[text, links, new_code_cell("", id="empty"), *code])


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project in `tmp_path` with the small notebook and an up-to-date PDF."""
    monkeypatch.setattr(submission, "ROOT", tmp_path)
    monkeypatch.setattr(submission, "NOTEBOOK", tmp_path / "hw1.ipynb")
    monkeypatch.setattr(submission, "PDF", tmp_path / "derivation.pdf")
    nbformat.write(small_notebook(), tmp_path / "hw1.ipynb")
    shutil.copy(build_derivation.PDF, tmp_path)
    return tmp_path


def test_zip_holds_both_files_and_nothing_of_the_day(project):
    pdf_name = "J-Doe_2_hw1_derivation.pdf"
    names = [f"J-Doe_2_HW1/{name}" for name in ("J-Doe_2_hw1.ipynb", pdf_name)]
    assert submission.main(["J-Doe_2"]) == 0
    with zipfile.ZipFile(project / "J-Doe_2_HW1.zip") as file:
        text, pdf = (file.read(name) for name in file.namelist())
    assert file.namelist() == names
    found = {(entry.date_time, entry.external_attr >> 16) for entry in file.infolist()}
    assert found == {((1980, 1, 1, 0, 0, 0), 0o644)}
    expected = small_notebook()
    expected.cells[1].source = LINKS.replace("derivation/derivation.pdf", pdf_name)
    assert nbformat.reads(text.decode(), 4).cells == expected.cells
    assert pdf == build_derivation.PDF.read_bytes()


@pytest.mark.parametrize("name", ["", "j doe", "jdoe\n", "../jdoe", "jdöe", "$(id)"])
def test_bad_id_gets_one_sentence_with_an_example(name, project, capsys):
    assert submission.main([name]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "make submission ANDREW_ID=jdoe" in line


def test_all_that_is_not_of_one_clean_run_is_said_at_once(project, capsys, monkeypatch):
    notebook = small_notebook()
    text, links, _, edited, again, failed, warned = notebook.cells
    text.source = "<!--= x -->8<!--/-->"
    links.source += " [a](data/a.py) ![b](b.png)"
    edited.source = "x = 0.1"
    again.outputs[0].text = "8"
    failed.outputs = [new_output("error", ename="KeyError", evalue="", traceback=[])]
    warned.outputs = [new_output("stream", name="stderr", text="careful")]
    sealed(failed), sealed(warned)
    new = new_code_cell("z", id="new"), new_markdown_cell(r"$\left( y$", id="formula")
    notebook.cells.extend(new)
    nbformat.write(notebook, project / "hw1.ipynb")
    source = project / "derivation.tex"
    source.write_bytes(build_derivation.SOURCE.read_bytes() + b"%")
    monkeypatch.setattr(build_derivation, "SOURCE", source)
    (project / "J-Doe_2_HW1.zip").write_bytes(b"the old one")
    before = {path: path.read_bytes() for path in project.iterdir()}
    assert submission.main(["J-Doe_2"]) == 1
    assert {path: path.read_bytes() for path in project.iterdir()} == before
    expected = [
        "J-Doe_2_HW1.zip was not written:",
        "- The cells were not executed",
        "- text (<!--= x -->8<!--/-->) has changed since make run",
        "- edited (x = 0.1) has changed since make run",
        "- again (x = 2) has changed since make run",
        "- new (z) has changed since make run",
        "- failed (x = 3) failed (KeyError)",
        "- warned (x = 4) wrote a warning",
        "- links (See) links to data/a.py",
        "- links (See) links to b.png",
        r"- formula ($\left( y$) cannot be shown",
        "- derivation.pdf is not built from its source: make derivation",
    ]
    said = capsys.readouterr().err.splitlines()
    for begin, line in zip(expected, said, strict=True):
        assert line.startswith(begin)


def test_stored_notebook_can_be_handed_in(project):
    shutil.copy(ROOT / "hw1.ipynb", project)
    assert submission.main(["jdoe"]) == 0
