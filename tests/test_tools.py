"""The Makefile and the small tools, each in a small project of its own."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import zipfile

import export_html
import nbformat
import pytest
import run
import submission
from bs4 import BeautifulSoup
from conftest import NOTEBOOK, ROOT, SOURCE, needs
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

MARKED = "<!--= f'{x:.1f}' -->–<!--/-->, [PDF](derivation/derivation.pdf)"
FILLED = MARKED.replace("–", "2.2")


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project with a PDF, whose notebook is yet to be written; its own TMPDIR."""
    folder = tmp_path / "project"
    (folder / "derivation").mkdir(parents=True)
    (folder / "derivation" / "derivation.pdf").write_bytes(b"pdf")
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
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

# What a user may have set: the variables, and the files in their home.
SETTINGS = {
    "MPLBACKEND": "svg",
    "PYTHONPATH": "/of/the/user",
    "PYTHONOPTIMIZE": "2",
    "JUPYTER_PATH": "{home}",
    "JUPYTER_DATA_DIR": "{home}",
    "IPYTHONDIR": "{home}",
    "HOME": "{home}",
}
FILES = {
    "kernels/python3/kernel.json": '{"argv": ["false"]}',
    "profile_default/startup/hostile.py": "print('/of/the/user')",
}
SHOW = "import os, sys\nx = 2.25\nprint(dict(os.environ), sys.flags, sys.path)"


def test_run_fills_the_texts_whatever_the_user_has_set(
    project, monkeypatch, tmp_path, capfd
):
    """From a file in another folder, with a byte order mark, and an empty cell."""
    for name, content in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    for name, value in SETTINGS.items():
        monkeypatch.setenv(name, value.format(home=tmp_path))
    stored = tmp_path / "stored.ipynb"
    stored.write_bytes(b"\xef\xbb\xbf" + write(project, SHOW, " \n"))
    (project / "hw1.ipynb").unlink()
    (project / "hw1.ipynb").symlink_to(stored)
    run.main(project)
    assert "cell 2 of 3, code-0" in capfd.readouterr().out
    text, code, empty = nbformat.read(stored, as_version=4).cells
    assert (text.source, code.execution_count) == (FILLED, 1)
    assert (empty.execution_count, empty.outputs) == (None, [])
    (output,) = code.outputs
    assert "'PATH': " in output.text and "optimize=0" in output.text
    for foreign in "/of/the/user", "svg", "IPYTHONDIR":
        assert foreign not in output.text
    assert (project / "hw1.ipynb").is_symlink()
    assert list((tmp_path / "tmp").iterdir()) == [], "something is left behind"


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("1 / 0", "code-0.*ZeroDivisionError"),
        ("y = 1", "text.*name 'x' is not defined"),
        ("import os, time\nos.kill(os.getpid(), 9)\ntime.sleep(60)", "code-0.*died"),
        ("x = 1\nprint(200_000 * 'x')", "code-0.*200,000 characters"),
        ("x = 1\nopen('hw1.ipynb', 'a').write(' ')", "Another program has changed it"),
    ],
)
def test_failure_changes_no_file_and_says_where(code, said, project, capfd):
    before = write(project, code)
    with pytest.raises(SystemExit, match=f"(?s){said}.* was left as it was") as error:
        run.main(project)
    assert "\x1b" not in str(error.value), "colours, although this is no terminal"
    assert (project / "hw1.ipynb").read_bytes().strip() == before.strip()
    assert len(files_in(project.parent)) == 2, "something is left behind"


def test_terminated_run_changes_no_file_and_says_where(project, tmp_path):
    before = write(
        project, "import os, time\nos.kill(os.getppid(), 15)\ntime.sleep(60)"
    )
    shutil.copytree(ROOT / "tools", project / "tools")
    ran = subprocess.run(
        [sys.executable, project / "tools" / "run.py"],
        env=os.environ | {"TMPDIR": str(tmp_path / "tmp")},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert ran.returncode and "code-0" in ran.stderr and "Traceback" not in ran.stderr
    assert (project / "hw1.ipynb").read_bytes() == before
    assert list((tmp_path / "tmp").iterdir()) == [], "something is left behind"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("<!--= a -->1, all between <!--= b -->2<!--/-->", "text.*<!--/-->"),
        ("<!--= a <!--/-->", "text.*-->"),
        (None, "JSON"),
    ],
)
def test_bad_notebook_is_refused_before_the_first_cell(text, said, project, capsys):
    if text:
        write(project, "print(1)", text=text)
    else:
        (project / "hw1.ipynb").write_text("<<<<<<< HEAD")
    with pytest.raises(SystemExit, match=f"hw1.ipynb.*{said}"):
        run.main(project)
    assert capsys.readouterr().out == ""


# --- submission.py ---


def test_zip_holds_the_executed_notebook_and_the_pdf(project):
    write(project, "x = 2.25")
    submission.main("jdoe", project)
    with zipfile.ZipFile(project / "jdoe_HW1.zip") as file:
        names = ["jdoe_HW1/jdoe_hw1.ipynb", "jdoe_HW1/jdoe_hw1_derivation.pdf"]
        assert file.namelist() == names
        notebook, pdf = (file.read(name) for name in names)
    text, code = nbformat.reads(notebook.decode(), as_version=4).cells
    assert text.source.endswith("2.2<!--/-->, [PDF](jdoe_hw1_derivation.pdf)")
    assert code.execution_count == 1 and pdf == b"pdf"


@pytest.mark.parametrize("name", ["", "j doe", "jdoe\n", "../jdoe", "jdöe", "--help"])
def test_bad_id_gets_one_sentence_with_an_example(name, project):
    with pytest.raises(SystemExit, match="ANDREW_ID=jdoe"):
        submission.main(name, project)


def test_warning_or_missing_pdf_is_not_handed_in(project):
    write(project, "import sys\nx = 1\nprint('careful', file=sys.stderr)")
    with pytest.raises(SystemExit, match=r"code-0.*warning"):
        submission.main("jdoe", project)
    (project / "derivation" / "derivation.pdf").unlink()
    with pytest.raises(SystemExit, match=r"derivation.pdf.*make derivation"):
        submission.main("jdoe", project)
    assert not list(project.glob("*.zip"))


# --- export_html.py ---


def page_of(*cells):
    """Return the page of a notebook with these cells."""
    page = export_html.export(new_notebook(cells=list(cells)))
    return BeautifulSoup(page, "html.parser")


def test_page_fetches_nothing_and_leaves_no_tex():
    page = page_of(*NOTEBOOK.cells)
    assert not page.select("script, link, iframe, object, embed, base, [srcset]")
    assert all(each["src"].startswith("data:") for each in page.select("[src]"))
    assert not re.search(r"@import|url\(\s*[\"']?(?!data:)[\w/.]", str(page))
    assert len(page.select("math")) > 10
    for words in page.main.find_all(string=True):
        if not words.find_parent(["pre", "code"]):
            assert not re.search(r"\$|\\[a-z]", words), "TeX in the page"


@pytest.mark.parametrize(
    ("formula", "shown"),
    [
        ("$$y' = x^2$$", "y′=x2"),
        ("\\begin{align*}\ny &= x^2 \\\\\nz &= x^2\n\\end{align*}", "y=x2z=x2"),
        (r"$\text{don't}$", "don't"),
    ],
)
def test_formula_in_text_and_in_an_output_is_mathml(formula, shown):
    output = new_output("display_data", {"text/markdown": f"one {formula}"})
    page = page_of(
        new_markdown_cell(f"one {formula}"), new_code_cell("f()", outputs=[output])
    )
    for math in page.select("math"):
        assert math.get_text(strip=True) == shown
    assert len(page.select("math")) == 2
    with pytest.raises(ValueError, match="the cell wrong"):
        page_of(new_markdown_cell(r"$\left( y$", id="wrong"))


def test_figure_has_its_description_and_folded_code():
    alt, size = 'a < b & "c"', {"width": 350, "height": 175}
    figure = new_output("display_data", {"image/png": "iVBORw0KGgo="})
    figure.metadata = {"image/png": {"alt": alt} | size}
    folded = new_code_cell(
        "draw()", outputs=[figure], metadata={"tags": ["hide-input"]}
    )
    page = page_of(folded, new_code_cell("count()"))
    (image,) = page("img")
    assert (image["alt"], image["width"], image["height"]) == (alt, "350", "175")
    (details,) = page("details")
    assert "draw()" in details.get_text() and not details("img")


# --- The Makefile ---

NUMPY = """\
import os, sys, numpy
print(sys.prefix, numpy.__file__, os.environ["UV_PYTHON_INSTALL_DIR"])
"""


@pytest.fixture
def checkout(tmp_path):
    """A checkout whose `make run` prints where its Python and numpy lie."""
    folder = tmp_path / 'it\'s a "chéckout" #1: 100% $HOME'
    shutil.copytree(ROOT / "tools", folder / "tools")
    shutil.copy(ROOT / "Makefile", folder)
    (folder / ".uv").mkdir()
    (uv,) = (ROOT / ".uv").glob("uv-*")
    (folder / ".uv" / uv.name).symlink_to(uv)
    (folder / "tools" / "run.py").write_text(NUMPY)
    files = {
        "numpy.py": "",
        "ruff.py": "",
        "numpy-1.dist-info/METADATA": "Metadata-Version: 2.1\nName: numpy\nVersion: 1",
        "numpy-1.dist-info/WHEEL": "Wheel-Version: 1.0",
        "numpy-1.dist-info/RECORD": "numpy.py,,\nruff.py,,",
    }
    wheel = tmp_path / "numpy-1-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as file:
        for name, content in files.items():
            file.writestr(name, content)
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    lock = folder / "tools" / "requirements.lock"
    lock.write_text(f"numpy==1 --hash=sha256:{digest}\n")
    return folder


def start_make(folder, *targets, **settings):
    """Start `make` without a network, with these environment variables."""
    kept = {k: v for k, v in os.environ.items() if not re.match("UV_|PIP_|MAKE", k)}
    kept |= {"UV_OFFLINE": "1", "UV_FIND_LINKS": str(folder.parent)}
    kept["PATH"] = f"{ROOT}/.venv/bin:{kept['PATH']}"
    return subprocess.Popen(
        ["make", *targets],
        cwd=folder,
        env=kept | {"UV_CACHE_DIR": str(folder.parent / "cache")} | settings,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def make(folder, *targets, **settings):
    """Run `make`; return what it printed."""
    return start_make(folder, *targets, **settings).communicate()[0]


def is_set_up(checkout, output):
    """Say whether `make run` had its own Python, with its own numpy."""
    return f"\n{checkout}/.venv {checkout}/.venv/" in output


def test_set_up_is_this_folders_own_whatever_the_user_has_set(checkout, tmp_path):
    foreign = tmp_path / "foreign"
    (foreign / "uv").mkdir(parents=True)
    (foreign / "uv" / "uv.toml").write_text(f'[pip]\ntarget = "{foreign}"')
    (foreign / "sysconfig.py").write_text("raise SystemExit('foreign')")
    before = files_in(foreign)
    variables = "UV_PROJECT UV_WORKING_DIR UV_CONFIG_FILE UV_TARGET PYTHONPATH CDPATH"
    settings = dict.fromkeys([*variables.split(), "XDG_CONFIG_HOME"], str(foreign))
    output = make(checkout, "run", UV_NO_SYNC="nonsense", **settings)
    assert is_set_up(checkout, output), output
    assert f"{checkout}/.uv/" in output.splitlines()[-1]
    assert files_in(foreign) == before


def test_set_up_repairs_what_has_gone(checkout):
    assert is_set_up(checkout, make(checkout, "run"))
    (checkout / ".venv" / "bin" / "python").unlink()
    assert is_set_up(checkout, make(checkout, "run"))
    shutil.rmtree(checkout / ".venv" / "lib")
    assert is_set_up(checkout, make(checkout, "run"))


def test_two_set_ups_at_once_end_well(checkout):
    both = [start_make(checkout, "run") for _ in range(2)]
    for output in [each.communicate()[0] for each in both]:
        assert is_set_up(checkout, output), output


@pytest.mark.parametrize("wrong", [" --hash=sha256:" + 64 * "0", ""])
def test_package_that_is_not_the_locks_is_not_installed(wrong, checkout):
    (checkout / "tools" / "requirements.lock").write_text(f"numpy==1{wrong}")
    output = make(checkout, "run")
    assert "set-up: see above" in output and not is_set_up(checkout, output)
    assert not list((checkout / ".venv").rglob("numpy*"))


def test_jobs_do_not_overtake_each_other(checkout):
    slow = "import time; time.sleep(1); print('ran')"
    (checkout / "tools" / "run.py").write_text(slow)
    (checkout / "tools" / "export_html.py").write_text("print('exported')")
    lines = make(checkout, "-j", "run", "html").splitlines()
    assert lines.index("ran") < lines.index("exported")


def test_clean_removes_nothing_that_git_tracks(tmp_path):
    if not (ROOT / ".git").exists():
        pytest.skip("this is no checkout of git")
    listed = subprocess.check_output(["git", "ls-files"], cwd=ROOT, text=True)
    for name in listed.splitlines():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    shutil.copy(ROOT / "Makefile", tmp_path)
    before = files_in(tmp_path)
    (tmp_path / ".venv").mkdir()
    make(tmp_path, "clean")
    assert files_in(tmp_path) == before and not (tmp_path / ".venv").exists()


def test_derivation_that_latex_complains_about_leaves_the_old_pdf(tmp_path):
    needs("latexmk", "latexmk texlive-latex-recommended texlive-latex-extra lmodern")
    shutil.copy(ROOT / "Makefile", tmp_path)
    tex = tmp_path / "derivation" / "derivation.tex"
    tex.parent.mkdir()
    begin, end = r"\documentclass{article}\begin{document}", r"\end{document}"
    tex.write_text(begin + "good" + end)
    make(tmp_path, "derivation")
    before = tex.with_suffix(".pdf").read_bytes()
    for bad in r"\ref{nowhere}", r"\hbox to 1em{too wide}", r"\undefined":
        tex.write_text(begin + bad + end)
        assert re.search("(?i)undefined|overfull", make(tmp_path, "derivation"))
        assert tex.with_suffix(".pdf").read_bytes() == before


def test_make_has_every_command_that_the_texts_name():
    makefile = (ROOT / "Makefile").read_text("utf-8")
    text = "\n".join([(ROOT / "README.md").read_text("utf-8"), *SOURCE.values()])
    named = set(re.findall(r"(?:`|^    )make ([a-z]+)", text, re.M))
    assert "run" in named
    assert named <= set(re.findall(r"^([a-z]+):", makefile, re.M))
    for script in re.findall(r"tools/[\w.-]+", makefile):
        assert (ROOT / script).exists(), f"the Makefile starts {script}"


def test_ci_leaves_no_test_out(tmp_path, monkeypatch):
    for program in "make", "latexmk", "pdflatex", "chromium":
        (tmp_path / program).write_text('#!/bin/sh\necho "make $* in CI: $CI"')
        (tmp_path / program).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    ran = subprocess.check_output([ROOT / ".ci" / "run"], text=True)
    assert ran == "make test in CI: true\n"
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception):
        needs("a program that nobody has", "nothing")
