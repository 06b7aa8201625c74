"""The learner's path: `make lab` in a real browser, from opening to Run All."""

import os
import re
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request

import pytest
from conftest import copy_checkout
from playwright.sync_api import expect, sync_playwright

# All cells are in the page at once, not only those that can be seen.
TRACKER = "@jupyterlab/notebook-extension/tracker.jupyterlab-settings"
FLAGS = ["--no-sandbox", "--disable-gpu"]  # root in a container has no sandbox


def wait_for(condition, what):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.1)


def listens(port, address="127.0.0.1"):
    with socket.socket() as client:
        return client.connect_ex((address, int(port))) == 0


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """The notebook that `make lab` serves, its port and token, and JupyterLab."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if not chromium:
        message = "Chromium is missing (Debian: apt install chromium)"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(message)
    home = tmp_path_factory.mktemp("home")
    settings = home / ".jupyter/lab/user-settings" / TRACKER
    settings.parent.mkdir(parents=True)
    settings.write_text('{"windowingMode": "none"}')
    checkout, log = copy_checkout(home), home / "log"
    server = subprocess.Popen(
        ["make", "--directory", checkout, "lab"],
        stderr=log.open("w"),
        start_new_session=True,
        env=os.environ | {"HOME": str(home), "BROWSER": "true"},  # which opens none
    )
    try:
        address = re.compile(r"127.0.0.1:(\d+)/\S*token=(\w+)")
        wait_for(lambda: address.search(log.read_text()), f"no server, see {log}")
        port, token = address.search(log.read_text()).groups()
        wait_for(lambda: listens(port), "the server does not listen")
        with sync_playwright() as playwright:
            launch = playwright.chromium.launch
            page = launch(executable_path=chromium, args=FLAGS).new_page()
            page.goto(f"http://127.0.0.1:{port}/lab/tree/hw1.ipynb?token={token}")
            idle = page.get_by_text("Python 3 (ipykernel) | Idle")
            expect(idle).to_be_visible(timeout=60_000)
            yield checkout / "hw1.ipynb", port, token, page
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(timeout=30)


def test_others_cannot_reach_the_server(lab):
    """Neither from another machine, nor from this one without the token."""
    _, port, token, _ = lab
    url = f"http://127.0.0.1:{port}/api/contents/hw1.ipynb"
    assert urllib.request.urlopen(f"{url}?token={token}").status == 200
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(url)
    assert not listens(port, "127.0.0.2")  # as it would if it listened everywhere


def test_opening_and_saving_changes_nothing(lab):
    path, *_, page = lab
    before, opened = path.read_bytes(), path.stat().st_mtime_ns
    page.locator(".jp-Notebook").press("Control+s")
    wait_for(lambda: path.stat().st_mtime_ns > opened, "JupyterLab does not save")
    expect(page.locator(".jp-mod-dirty")).to_have_count(0)
    assert path.read_bytes() == before


def test_run_all_shows_every_result_and_no_error(lab, notebook):
    page = lab[-1]
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    prompts = page.locator(".jp-Notebook .jp-InputPrompt").filter(has_text="[")
    running = prompts.filter(has_text="[*]")
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    expect(running).not_to_have_count(0, timeout=60_000)
    expect(running).to_have_count(0, timeout=300_000)
    assert prompts.all_inner_texts() == [f"[{i + 1}]:" for i in range(len(code))]
    # JupyterLab shows errors, too, as this type.
    assert not page.locator(".jp-Notebook [data-mime-type*=stderr]").count()
    shown = sum("image/png" in o.get("data", {}) for c in code for o in c.outputs)
    figures = page.locator(".jp-OutputArea-output img").all()
    assert len(figures) == shown
    assert all(f.is_visible() and f.bounding_box()["height"] > 100 for f in figures)
    text = page.locator(".jp-Notebook").inner_text()
    assert "<!--" not in text and "-->" not in text
    for level in (1, 2, 3):
        report = text.partition(f"Report, Level {level}")[2]
        assert re.match(r"[^*]{,300}test accuracy.*\t\d\d\.\d\d%", report)
