"""The learner's path: `make lab`, Run All, in a real browser."""

import os
import re
import shutil
import signal
import subprocess
import time
import urllib.error
import urllib.request

import nbformat
import psutil
import pytest
from conftest import copy_checkout
from playwright.sync_api import expect, sync_playwright

# For a container, where root works; and Jupyter is not to open a browser of its own.
SERVER = "c.ServerApp.allow_root = True\nc.ServerApp.open_browser = False\n"
# All cells are in the page at once, not only those that can be seen.
TRACKER = "@jupyterlab/notebook-extension/tracker.jupyterlab-settings"
FLAGS = [
    "--no-sandbox",  # root in a container has no other choice
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
]
MINUTE = 60_000  # in milliseconds


@pytest.fixture(scope="module")
def chromium():
    """Return the path of Chromium; skip where there is none, but in CI there is."""
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if not path:
        message = "Chromium is missing (Debian: apt install chromium)"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(message)
    return path


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """The folder in which `make lab` runs, the port of its server, and the token."""
    folder = tmp_path_factory.mktemp("lab")
    (folder / "config").mkdir()
    (folder / "config" / "jupyter_server_config.py").write_text(SERVER)
    settings = folder / "settings" / TRACKER
    settings.parent.mkdir(parents=True)
    settings.write_text('{"windowingMode": "none"}')
    checkout = copy_checkout(folder)
    log = folder / "log"
    process = subprocess.Popen(
        ["make", "--directory", checkout, "lab"],
        stderr=log.open("w"),
        start_new_session=True,
        env=os.environ
        | {"JUPYTER_CONFIG_DIR": str(folder / "config")}
        | {"JUPYTERLAB_SETTINGS_DIR": str(folder / "settings")},
    )
    try:
        deadline = time.monotonic() + 60
        while not (
            found := re.search(r"127.0.0.1:(\d+)/\S*token=(\w+)", log.read_text())
        ):
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.2)
        yield checkout, int(found[1]), found[2]
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=30)


def test_server_listens_to_this_machine_and_asks_for_its_token(lab):
    _, port, token = lab
    listening = {
        connection.laddr.ip
        for connection in psutil.net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port
    }
    assert listening and listening <= {"127.0.0.1", "::1"}
    contents = f"http://127.0.0.1:{port}/api/contents/hw1.ipynb"
    with urllib.request.urlopen(f"{contents}?token={token}") as answer:
        assert answer.status == 200
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(contents)


def test_run_all(lab, chromium, notebook, tmp_path):
    """All cells run, without an error; the page shows figures and reports."""
    checkout, port, token = lab
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        page = browser.new_page(viewport={"width": 1200, "height": 900})
        page.set_default_timeout(MINUTE)
        page.goto(f"http://127.0.0.1:{port}/lab/tree/hw1.ipynb?token={token}")
        prompts = page.locator(".jp-Notebook .jp-InputPrompt").filter(has_text="[")
        expect(prompts).to_have_count(len(code), timeout=MINUTE)
        expect(page.get_by_text("Python 3 (ipykernel) | Idle")).to_be_visible()
        running = prompts.filter(has_text="[*]")
        page.get_by_text("Run", exact=True).click()
        page.get_by_text("Run All Cells", exact=True).click()
        expect(running).not_to_have_count(0, timeout=MINUTE)
        expect(running).to_have_count(0, timeout=5 * MINUTE)
        assert prompts.all_inner_texts() == [f"[{i + 1}]:" for i in range(len(code))]
        page.screenshot(path=tmp_path / "run-all.png")
        print(f"screenshot: {tmp_path / 'run-all.png'}")

        assert page.locator(".jp-Notebook [data-mime-type*=error]").count() == 0
        assert page.locator(".jp-Notebook [data-mime-type*=stderr]").count() == 0
        figures = page.locator(".jp-OutputArea-output img")
        expected = sum(
            "image/png" in o.get("data", {}) for c in code for o in c.outputs
        )
        assert figures.count() == expected
        for figure in figures.all():
            assert figure.is_visible() and figure.bounding_box()["height"] > 100
        text = page.locator(".jp-Notebook").inner_text()
        assert "<!--" not in text and "-->" not in text
        for level in (1, 2, 3):
            report = page.locator(
                ".jp-MarkdownOutput", has_text=f"Report, Level {level}"
            )
            assert re.search(r"test accuracy.*\t\d\d\.\d\d%", report.inner_text())

        page.keyboard.press("Control+s")
        expect(page.locator(".jp-mod-dirty")).to_have_count(0)
        browser.close()
    saved = nbformat.read(checkout / "hw1.ipynb", as_version=4)
    counts = [c.execution_count for c in saved.cells if c.cell_type == "code"]
    assert counts == list(range(1, len(code) + 1))
