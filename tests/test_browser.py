"""The learner's path: `make lab` in a real browser, from opening to Run All.

With two epochs instead of twenty, because test_whole_run.py has them all.
"""

import os
import re
import shutil
import signal
import socket
import subprocess
import time

import pytest
from conftest import CODE, copy_checkout, needs
from playwright.sync_api import expect, sync_playwright

pytestmark = pytest.mark.slow

# All cells are in the page at once, not only those that can be seen.
TRACKER = "@jupyterlab/notebook-extension/tracker.jupyterlab-settings"
# A configuration that shows another folder, and that listens to the world.
CONFIGURATION = """\
c.ServerApp.root_dir = "/"
c.ServerApp.ip = "0.0.0.0"
"""
FLAGS = ["--no-sandbox", "--disable-gpu"]  # root in a container has no sandbox


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A home whose Jupyter settings differ from what `make lab` needs."""
    home = tmp_path_factory.mktemp("home")
    settings = home / ".jupyter" / "lab" / "user-settings" / TRACKER
    settings.parent.mkdir(parents=True)
    settings.write_text('{"windowingMode": "none"}')
    jupyter = home / ".jupyter" / "jupyter_server_config.py"
    jupyter.write_text(CONFIGURATION)
    return home


@pytest.fixture(scope="module")
def lab(home):
    """The checkout that `make lab` serves, and the address that it prints."""
    needs("chromium", "chromium")
    checkout, log = copy_checkout(home), home / "log"
    notebook = checkout / "hw1.ipynb"
    notebook.write_text(notebook.read_text().replace("250, 20", "250, 2"))
    server = subprocess.Popen(
        ["make", "--directory", checkout, "lab"],
        stderr=log.open("w"),
        start_new_session=True,
        env=os.environ | {"HOME": str(home), "BROWSER": "true"},  # opens none
    )
    address = re.compile(r"http://127.0.0.1:(\d+)/lab\S*(\?token=\w+)")
    try:
        while not (found := address.search(log.read_text())):
            assert server.poll() is None, log.read_text()
            time.sleep(0.1)
        yield checkout, *found.groups()
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(timeout=30)


@pytest.fixture(scope="module")
def page(lab):
    """The page of JupyterLab that shows the notebook."""
    _, port, token = lab
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=FLAGS
        )
        page = browser.new_page()
        page.goto(f"http://127.0.0.1:{port}/lab/tree/hw1.ipynb{token}")
        idle = page.get_by_text("Python 3 (ipykernel) | Idle")
        expect(idle).to_be_visible(timeout=60_000)
        yield page


@pytest.mark.skipif(not os.path.exists("/proc/net"), reason="needs Linux")
def test_lab_listens_to_its_own_machine_only(lab):
    """Linux reaches 127.0.0.2 where a server listens to all addresses."""
    _, port, _ = lab
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.2", int(port)))


def test_opening_and_saving_changes_nothing(lab, page):
    notebook = lab[0] / "hw1.ipynb"
    before = notebook.read_bytes()
    with page.expect_response(
        lambda r: "contents" in r.url and r.request.method == "PUT"
    ):
        page.locator(".jp-Notebook").press("Control+s")
    expect(page.locator(".jp-mod-dirty")).to_have_count(0)
    assert notebook.read_bytes() == before


@pytest.fixture(scope="module")
def all_run(page):
    """The page after *Run All Cells*."""
    prompts = page.locator(".jp-Notebook .jp-InputPrompt")
    running = prompts.filter(has_text="[*]")
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    expect(running).not_to_have_count(0, timeout=60_000)
    expect(running).to_have_count(0, timeout=300_000)
    return page


def test_run_all_runs_every_cell_without_an_error(all_run):
    prompts = all_run.locator(".jp-Notebook .jp-InputPrompt")
    counts = prompts.filter(has_text="[").all_inner_texts()
    assert counts == [f"[{i}]:" for i in range(1, len(CODE) + 1)]
    # JupyterLab shows errors, too, as this type.
    errors = all_run.locator(".jp-Notebook [data-mime-type*=stderr]")
    assert errors.all_inner_texts() == []


def test_run_all_shows_every_figure(all_run):
    outputs = [output for cell in CODE for output in cell.outputs]
    stored = [o for o in outputs if "image/png" in o.get("data", {})]
    figures = all_run.locator(".jp-OutputArea-output img").all()
    assert len(figures) == len(stored) > 0
    for figure in figures:
        assert figure.is_visible() and figure.bounding_box()["height"] > 100


def test_report_of_each_level_is_shown_without_its_expressions(all_run):
    text = all_run.locator(".jp-Notebook").inner_text()
    assert "<!--" not in text and "-->" not in text
    report = r"test accuracy[^\n]*\t\d\d\.\d\d%"
    assert len(re.findall(report, text)) == 3
