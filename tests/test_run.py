"""tools/run.py on small notebooks: what it writes; that a failure changes nothing."""

import base64
import os
import signal
import subprocess
import sys
import time

import nbformat
import pytest
import run as run_module
from conftest import ROOT
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

# A PNG of a single pixel.
PIXEL = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAA"
    "AABJRU5ErkJggg=="
)


def write(path, *cells):
    """Write a notebook of (id, source) cells; an id "text..." means Markdown."""
    notebook = new_notebook(
        cells=[
            (new_markdown_cell if id.startswith("text") else new_code_cell)(text, id=id)
            for id, text in cells
        ]
    )
    nbformat.write(notebook, path)
    return path


def start(*arguments):
    return subprocess.Popen(
        [sys.executable, ROOT / "tools" / "run.py", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
        # What is started in the background ignores SIGINT, and passes that on.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def run(*arguments):
    """Return the exit status, stdout and stderr of run.py."""
    process = start(*arguments)
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


def sources(path):
    return [cell.source for cell in nbformat.read(path, as_version=4).cells]


def test_markers_get_their_values_even_before_the_cell_that_defines_them(tmp_path):
    text = "a <!--= f'{x:.1f}' -->–<!--/-->, b <!--= x > 2 -->old\n<!--/--> c"
    path = write(tmp_path / "n.ipynb", ("text", text), ("define", "x = 2.25\nprint(x)"))
    status, out, err = run(path)
    assert status == 0, err
    expected = "a <!--= f'{x:.1f}' -->2.2<!--/-->, b <!--= x > 2 -->True<!--/--> c"
    assert sources(path)[0] == expected
    assert "cell 2 of 2, define" in out
    cell = nbformat.read(path, as_version=4).cells[1]
    assert cell.execution_count == 1 and cell.outputs[0].text == "2.25\n"


def test_output_goes_elsewhere(tmp_path):
    path = write(tmp_path / "n.ipynb", ("text", "<!--= 1 + 1 -->–<!--/-->"))
    before = path.read_bytes()
    assert run(path, "--output", tmp_path / "m.ipynb")[0] == 0
    assert path.read_bytes() == before
    assert sources(tmp_path / "m.ipynb") == ["<!--= 1 + 1 -->2<!--/-->"]


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        ([("fine", "1"), ("broken", "1 / 0")], ["cell 2 of 2, broken", "ZeroDivision"]),
        ([("text", "<!--= nowhere -->–<!--/-->")], ["nowhere", "NameError"]),
        ([("killed", "import os\nos.kill(os.getpid(), 9)")], ["cell 1 of 1, killed"]),
    ],
    ids=["a cell raises", "an expression fails", "the kernel dies"],
)
def test_failure_leaves_the_notebook_as_it_was(cells, said, tmp_path):
    path = write(tmp_path / "n.ipynb", *cells)
    before = path.read_bytes()
    status, _, err = run(path)
    assert status == 1
    for part in [*said, f"{path} was left as it was"]:
        assert part in err
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["n.ipynb"]


def test_ctrl_c_leaves_the_notebook_as_it_was(tmp_path):
    path = write(tmp_path / "n.ipynb", ("slow", "import time\ntime.sleep(60)"))
    before = path.read_bytes()
    process = start(path)
    assert "slow" in process.stdout.readline()
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Interrupted in cell 1 of 1, slow" in err and "was left as it was" in err
    assert path.read_bytes() == before and os.listdir(tmp_path) == ["n.ipynb"]


# For each: mount $2 for this process alone, run the rest of the command with a copy of
# the notebook $1 there, compare, and list what is left.
DISKS = {
    "full": ('mount -t tmpfs -o size=64k none "$2"; cp "$1" "$2"', "No space left"),
    "read-only": (
        'cp "$1" "$2"; mount --bind "$2" "$2"; mount -o remount,bind,ro "$2"',
        "Nothing can be written to",
    ),
}
RUN_THERE = """
set -e; {mount}
source=$1 copy="$2/n.ipynb"; shift 2
set +e; "$@" "$copy"; status=$?
cmp "$source" "$copy"; echo left:; ls -A "$(dirname "$copy")"; exit $status
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has such mounts")
@pytest.mark.parametrize("disk", DISKS)
def test_disk_that_takes_no_more_leaves_the_notebook_as_it_was(disk, tmp_path):
    mount, said = DISKS[disk]
    path = write(tmp_path / "n.ipynb", ("large", "print('0123456789' * 10_000)"))
    (tmp_path / "disk").mkdir()
    in_namespace = ["unshare", "--map-root-user", "--mount", "sh", "-c"]
    script = RUN_THERE.format(mount=mount)
    arguments = [path, tmp_path / "disk", sys.executable, ROOT / "tools" / "run.py"]
    found = subprocess.run(
        [*in_namespace, script, "sh", *arguments], capture_output=True, text=True
    )
    assert found.returncode == 1, found.stderr
    assert said in found.stderr and "n.ipynb was left as it was" in found.stderr
    assert found.stdout.endswith("left:\nn.ipynb\n")  # and no half-written file
    assert "differ" not in found.stdout
    # What cannot be written is not worth a minute of computing.
    assert ("cell 1 of 1" in found.stdout) == (disk == "full")


WAIT = """
import pathlib, time

while True:
    try:
        pathlib.Path({!r}).unlink()
        break
    except FileNotFoundError:
        time.sleep(0.1)
"""


def test_two_runs_at_once_do_not_mix(tmp_path):
    """The one that is first writes; the other says why it does not."""
    ticket = tmp_path / "ticket"
    path = write(tmp_path / "n.ipynb", ("wait", WAIT.format(str(ticket))))
    both = [start(path), start(path)]
    for process in both:
        assert "wait" in process.stdout.readline()
    ticket.touch()
    while all(process.poll() is None for process in both):
        time.sleep(0.1)
    first = path.read_bytes()
    ticket.touch()
    ends = [process.communicate(timeout=60) for process in both]
    statuses = [process.returncode for process in both]
    assert sorted(statuses) == [0, 1]
    assert f"{path} has changed since this run began" in ends[statuses.index(1)][1]
    assert path.read_bytes() == first and os.listdir(tmp_path) == ["n.ipynb"]


def test_what_appears_meanwhile_is_kept(tmp_path):
    output = tmp_path / "m.ipynb"
    appear = f"import pathlib\npathlib.Path({str(output)!r}).write_text('mine')"
    path = write(tmp_path / "n.ipynb", ("appear", appear))
    status, _, err = run(path, "--output", output)
    assert status == 1 and f"{output} has changed since this run began" in err
    assert output.read_text() == "mine"


def test_what_an_editor_saved_meanwhile_is_kept(tmp_path):
    edited = write(tmp_path / "edited.ipynb", ("mine", "'an hour of work'"))
    save = f"import shutil\nshutil.copy({str(edited)!r}, {str(tmp_path / 'n.ipynb')!r})"
    path = write(tmp_path / "n.ipynb", ("editor", save))
    status, _, err = run(path)
    assert status == 1 and f"{path} has changed since this run began" in err
    assert path.read_bytes() == edited.read_bytes()


@pytest.mark.parametrize("content", ["", "{}", "not a notebook"])
def test_what_is_not_a_notebook_is_refused(content, tmp_path):
    path = tmp_path / "n.ipynb"
    path.write_text(content)
    status, _, err = run(path)
    assert status == 1 and str(path) in err and "Traceback" not in err


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project in `tmp_path`, its notebook and README yet to be filled."""
    monkeypatch.setattr(run_module, "NOTEBOOK", tmp_path / "hw1.ipynb")
    monkeypatch.setattr(run_module, "README", tmp_path / "README.md")
    monkeypatch.setattr(run_module, "PICTURE", tmp_path / "result.png")
    monkeypatch.setattr("sys.argv", ["run.py", "hw1.ipynb"])
    monkeypatch.chdir(tmp_path)
    (tmp_path / "README.md").write_text("× <!--= x -->–<!--/-->", "utf-8")
    (tmp_path / "result.png").write_bytes(b"old")
    return tmp_path


def test_readme_and_its_picture_are_written_with_the_notebook(project):
    imports = "import base64\nfrom IPython.display import Image\n"
    draw = f"x = 7\nImage(base64.b64decode({PIXEL!r}))"
    write(project / "hw1.ipynb", (run_module.PICTURE_CELL, imports + draw))
    assert run_module.main() == 0
    assert (project / "README.md").read_text("utf-8") == "× <!--= x -->7<!--/-->"
    assert (project / "result.png").read_bytes() == base64.b64decode(PIXEL)


def test_without_the_picture_nothing_is_written(project, capsys):
    write(project / "hw1.ipynb", ("define", "x = 7"))
    before = {path.name: path.read_bytes() for path in project.iterdir()}
    assert run_module.main() == 1
    assert "comparison-plot shows no figure" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in project.iterdir()} == before
