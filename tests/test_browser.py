"""What only a browser shows: *Run All* in JupyterLab, and the page of `make html`."""

import os
import re
import shutil
import signal
import socket
import subprocess
import time

import export_html
import nbformat
import pytest
from conftest import NOTEBOOK, ROOT, needs
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from playwright.sync_api import expect, sync_playwright

pytestmark = pytest.mark.slow

# Of a user who shows another folder, and to the world.
CONFIGURATION = 'c.ServerApp.root_dir = "/"\nc.ServerApp.ip = "0.0.0.0"\n'
# In a signature, a call, a dictionary, or as the second of two values.
EPOCHS = re.compile(r"""(\bepochs["']?\s*[:=]\s*(?:\d+,\s*)?)\d{2,}""")


@pytest.fixture(scope="module")
def browser():
    needs("chromium", "chromium")
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(
            executable_path=shutil.which("chromium"),
            args=["--no-sandbox", "--disable-gpu"],  # in a container root has none
        )


# --- JupyterLab ---


def in_minutes(n):
    return time.monotonic() + 60 * n


@pytest.fixture
def folder(tmp_path):
    """A copy of the project without outputs; three epochs, because a test has all."""
    for name in ".venv", ".uv", "data", "tools", "Makefile":
        (tmp_path / name).symlink_to(ROOT / name)
    shutil.copytree(ROOT / ".theano", tmp_path / ".theano", symlinks=True)
    notebook, shortened = nbformat.read(ROOT / "hw1.ipynb", as_version=4), 0
    for cell in notebook.cells:
        if cell.cell_type == "code":
            source, n = EPOCHS.subn(r"\g<1>3", cell.source)
            cell.update(source=source, outputs=[], execution_count=None)
            shortened += n
    assert shortened, "no number of epochs found: adapt EPOCHS to the notebook"
    nbformat.write(notebook, tmp_path / "hw1.ipynb")
    return tmp_path


@pytest.fixture
def address(folder):
    """The notebook's address after `make lab` in that copy."""
    settings = folder / ".jupyter" / "jupyter_server_config.py"
    settings.parent.mkdir()
    settings.write_text(CONFIGURATION)
    log = folder / "log"
    process = subprocess.Popen(
        ["make", "lab"],
        cwd=folder,
        stderr=log.open("w"),
        start_new_session=True,
        env=os.environ | {"HOME": str(folder), "BROWSER": "true"},  # opens none
    )
    printed, end = re.compile(r"(http://127\S+/lab)\S*(\?token=\w+)"), in_minutes(2)
    try:
        while not (found := printed.search(log.read_text())):
            assert process.poll() is None and time.monotonic() < end, log.read_text()
            time.sleep(0.1)
        yield "/tree/hw1.ipynb".join(found.groups())
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=30)


def test_run_all_in_jupyterlab_ends_without_an_error(browser, folder, address):
    before = nbformat.read(folder / "hw1.ipynb", as_version=4)
    page = browser.new_page()
    page.goto(address)
    idle = page.get_by_text("Python 3 (ipykernel) | Idle")
    expect(idle).to_be_visible(timeout=60_000)
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    counts, end = [None], in_minutes(10)
    while counts[-1] is None:
        assert time.monotonic() < end, f"it has not ended: {counts}"
        time.sleep(1)
        page.locator(".jp-Notebook").press("Control+s")
        try:
            after = nbformat.read(folder / "hw1.ipynb", as_version=4)
        except nbformat.reader.NotJSONError:  # JupyterLab is just writing it
            continue
        code = [cell for cell in after.cells if cell.cell_type == "code"]
        counts = [cell.execution_count for cell in code]
        for cell in code:
            for output in cell.outputs:
                assert output.output_type != "error", (cell.id, output.evalue)
                assert output.get("name") != "stderr", (cell.id, output.text)
    assert counts == list(range(1, len(code) + 1))
    for cell in before.cells + after.cells:
        cell.pop("outputs", None), cell.pop("execution_count", None)
    assert after == before, "JupyterLab changes more than what a run changes"
    if os.path.exists("/proc/net"):  # Linux answers here if all addresses are open
        port = int(re.search(r":(\d+)/", address)[1])
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.2", port))


# --- The page ---

LONG = "x = " + " + ".join("123456789" for _ in range(20))
HOSTILE = """\
<script>document.body.dataset.ran = "a script"</script>
<img alt="" src="data:," onerror="document.body.dataset.ran = 'onerror'">
"""
# What nobody can reach: it is wider than its place, and that cannot scroll, as paper.
CUT = """paper => [...document.querySelectorAll("main *")].filter(each => {
    const overflow = getComputedStyle(each).overflowX;
    return each.scrollWidth > each.clientWidth + 1
        && (["hidden", "clip"].includes(overflow) || paper && overflow != "visible");
}).map(each => each.textContent.trim())"""


@pytest.fixture(scope="module")
def page(browser, tmp_path_factory):
    """The notebook's page, with a long line, and scripts in a text and an output."""
    output = new_output("display_data", {"text/html": HOSTILE})
    planted = [new_code_cell(LONG, outputs=[output]), new_markdown_cell(HOSTILE)]
    notebook = new_notebook(cells=[*NOTEBOOK.cells, *planted])
    file = tmp_path_factory.mktemp("page") / "hw1.html"
    file.write_text(export_html.export(notebook), "utf-8")
    page = browser.new_page()
    page.goto(file.as_uri())
    page.eval_on_selector_all("details", "all => all.forEach(each => each.open = true)")
    return page


def test_page_runs_no_script(page):
    assert page.locator("script").count() == 2, "the test has lost its scripts"
    assert page.evaluate("document.body.dataset.ran") is None


@pytest.mark.parametrize(("media", "width"), [("screen", 390), ("print", 680)])
def test_page_shows_all_on_a_phone_and_on_paper(media, width, page):
    page.set_viewport_size({"width": width, "height": 800})
    page.emulate_media(media=media)
    needed = page.evaluate("document.documentElement.scrollWidth")
    assert needed <= width, f"{media}: the page is {needed} pixels wide"
    assert page.evaluate(CUT, media == "print") == [], f"{media}: cut off"
