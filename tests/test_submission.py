"""tools/submission.py: what it hands in, and what it refuses to hand in."""

import io
import os
import shutil
import zipfile

import nbformat
import pytest
import submission
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from pypdf import PdfReader, PdfWriter

ACCURACY = "<!--= f\"{%s['test_accuracy']:.2%%}\" -->92.27%%<!--/-->"
LINK = "[derivation](derivation/derivation.pdf), [top](#top), [web](https://a.org)"


def small_notebook():
    """Return a notebook that can be handed in."""
    stated = "\n".join(ACCURACY % name for name in submission.LEVELS)
    cells = [
        new_markdown_cell(stated, id="title"),
        new_markdown_cell(LINK + "\n\n`[code](data/mnist.py)`", id="links"),
    ]
    for level in (1, 2, 3):
        data = {"text/plain": "{'test_accuracy': 0.9227,\n 'epochs': 20}"}
        result = new_output("execute_result", data, execution_count=level)
        cell = new_code_cell("report", id=f"level-{level}-report", outputs=[result])
        cell.execution_count = level
        cells.append(cell)
    return new_notebook(cells=cells)


def write_pdf(path, digest):
    """Write an empty PDF that claims to be built from the source of that digest."""
    writer = PdfWriter()
    writer.add_blank_page(72, 72)
    writer.add_metadata({"/SourceSHA256": digest})
    writer.write(path)


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project in `tmp_path` with the small notebook and an up-to-date PDF."""
    monkeypatch.setattr(submission, "NOTEBOOK", tmp_path / "hw1.ipynb")
    monkeypatch.setattr(submission, "PDF", tmp_path / "derivation.pdf")
    nbformat.write(small_notebook(), tmp_path / "hw1.ipynb")
    write_pdf(tmp_path / "derivation.pdf", submission.sources()[2])
    return tmp_path


def hand_in(folder, name="jdoe"):
    return submission.main([name, "--output-dir", str(folder)])


def test_zip_holds_the_two_files_in_their_folder(project):
    assert hand_in(project) == 0
    with zipfile.ZipFile(project / "jdoe_HW1.zip") as file:
        assert file.testzip() is None
        assert file.namelist() == [
            "jdoe_HW1/jdoe_hw1.ipynb",
            "jdoe_HW1/jdoe_hw1_derivation.pdf",
        ]
        for entry in file.infolist():
            assert entry.external_attr >> 16 == 0o644
            assert entry.date_time == (1980, 1, 1, 0, 0, 0)
        notebook = nbformat.reads(file.read(file.namelist()[0]).decode(), 4)
        pdf = file.read(file.namelist()[1])
    nbformat.validate(notebook)
    expected = small_notebook()
    expected.cells[1].source = expected.cells[1].source.replace(
        "derivation/derivation.pdf", "jdoe_hw1_derivation.pdf"
    )
    assert notebook.cells == expected.cells
    assert pdf == (project / "derivation.pdf").read_bytes()


def test_same_files_give_the_same_bytes(project):
    assert hand_in(project) == 0
    first = (project / "jdoe_HW1.zip").read_bytes()
    for path in (project / "hw1.ipynb", project / "derivation.pdf"):
        path.chmod(0o600)
        os.utime(path, (10**9, 10**9))
    assert hand_in(project) == 0
    assert (project / "jdoe_HW1.zip").read_bytes() == first


@pytest.mark.parametrize("name", ["a", "J-Doe_2", "0"])
def test_id_becomes_the_file_name(name, project):
    assert hand_in(project, name) == 0
    assert (project / f"{name}_HW1.zip").exists()


@pytest.mark.parametrize(
    "name",
    ["", " ", "j doe", "jdoe\n", "../jdoe", "a/b", "jdöe", "j.doe", "$(id)", "٣"],
)
def test_bad_id_gets_one_sentence_with_an_example(name, project, capsys):
    before = sorted(os.listdir(project))
    assert hand_in(project, name) == 1
    assert submission.main(["--output-dir", str(project)]) == 1
    first, second = capsys.readouterr().err.splitlines()
    assert first == second and "make submission ANDREW_ID=jdoe" in first
    assert sorted(os.listdir(project)) == before


def unexecuted(notebook):
    notebook.cells[3].execution_count = None


def executed_out_of_order(notebook):
    notebook.cells[2].execution_count, notebook.cells[3].execution_count = 2, 1


def failed(notebook):
    error = new_output("error", ename="KeyError", evalue="", traceback=[])
    notebook.cells[2].outputs.insert(0, error)


def warned(notebook):
    warning = new_output("stream", name="stderr", text="careful")
    notebook.cells[2].outputs.insert(0, warning)


def without_value(notebook):
    notebook.cells[0].source += "<!--= x -->–<!--/-->"


def without_report(notebook):
    del notebook.cells[4]


def without_result(notebook):
    notebook.cells[4].outputs = []


def silent_about_theano(notebook):
    notebook.cells[0].source = notebook.cells[0].source.replace("theano", "keras")


def disagreeing(notebook):
    data = notebook.cells[3].outputs[0].data
    data["text/plain"] = data["text/plain"].replace("0.9227", "0.9228")


def ratio(notebook):
    expression = "theano_report['epochs'] / keras_report['epochs']"
    notebook.cells[0].source += f"<!--= {expression} -->2.0<!--/-->"


def unknown_entry(notebook):
    notebook.cells[0].source += "<!--= keras_report['loss'] -->1<!--/-->"


def linking_outside(notebook):
    notebook.cells[1].source += "\n\n[the loader][1]\n\n[1]: data/mnist.py"


def picture_outside(notebook):
    notebook.cells[1].source += "\n\n![result](result.png)"


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (unexecuted, ["not executed", "make run"]),
        (executed_out_of_order, ["not executed", "make run"]),
        (failed, ["level-1-report", "KeyError", "make run"]),
        (warned, ["level-1-report", "warning", "make run"]),
        (without_value, ["lacks the value of x", "make run"]),
        (without_report, ["level-3-report shows no report", "make run"]),
        (without_result, ["level-3-report shows no report", "make run"]),
        (silent_about_theano, ["states nothing of theano_report"]),
        (disagreeing, ["says 92.27%", "outputs 92.28%", "theano_report", "make run"]),
        (ratio, ["says 2.0", "outputs 1.0", "make run"]),
        (unknown_entry, ["KeyError('loss')", "make run"]),
        (linking_outside, ["links to data/mnist.py"]),
        (picture_outside, ["links to result.png"]),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_broken_notebook_is_refused(broken, said, project, capsys):
    notebook = small_notebook()
    broken(notebook)
    nbformat.write(notebook, project / "hw1.ipynb")
    (project / "jdoe_HW1.zip").write_bytes(b"the old one")
    before = sorted(os.listdir(project))
    assert hand_in(project) == 1
    head, problem = capsys.readouterr().err.splitlines()
    assert head == "jdoe_HW1.zip was not written:"
    for part in said:
        assert part in problem
    assert (project / "jdoe_HW1.zip").read_bytes() == b"the old one"
    assert sorted(os.listdir(project)) == before


@pytest.mark.parametrize("content", ["stale", "no PDF", "missing"])
def test_pdf_that_is_not_of_the_current_source_is_refused(content, project, capsys):
    path = project / "derivation.pdf"
    if content == "stale":
        write_pdf(path, "0" * 64)
    elif content == "no PDF":
        path.write_text("no PDF")
    else:
        path.unlink()
    assert hand_in(project) == 1
    assert "make derivation" in capsys.readouterr().err
    assert not (project / "jdoe_HW1.zip").exists()


def test_all_problems_are_said_at_once(project, capsys):
    notebook = small_notebook()
    for broken in (unexecuted, warned, disagreeing, linking_outside):
        broken(notebook)
    nbformat.write(notebook, project / "hw1.ipynb")
    write_pdf(project / "derivation.pdf", "0" * 64)
    assert hand_in(project) == 1
    assert len(capsys.readouterr().err.splitlines()) == 1 + 5


def test_what_is_not_a_notebook_is_refused(project, capsys):
    (project / "hw1.ipynb").write_text("not a notebook")
    assert hand_in(project) == 1
    assert "jdoe_HW1.zip was not written" in capsys.readouterr().err


def test_interrupted_writing_leaves_the_old_zip(project, monkeypatch):
    def fail(*_):
        raise KeyboardInterrupt

    (project / "jdoe_HW1.zip").write_bytes(b"the old one")
    before = sorted(os.listdir(project))
    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(KeyboardInterrupt):
        hand_in(project)
    assert (project / "jdoe_HW1.zip").read_bytes() == b"the old one"
    assert sorted(os.listdir(project)) == before


def test_stored_notebook_can_be_handed_in(tmp_path, monkeypatch):
    copy = shutil.copy(submission.NOTEBOOK, tmp_path)
    monkeypatch.setattr(submission, "NOTEBOOK", copy)
    assert hand_in(tmp_path) == 0
    with zipfile.ZipFile(tmp_path / "jdoe_HW1.zip") as file:
        text, pdf = (file.read(name) for name in file.namelist())
    assert b"](jdoe_hw1_derivation.pdf)" in text
    assert b"derivation/derivation.pdf" not in text
    assert len(PdfReader(io.BytesIO(pdf)).pages) > 1
