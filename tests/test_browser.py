"""The learner's path: `make lab` in a real browser, from opening to Run All."""

import os
import re
import shutil
import signal
import subprocess
import time

import pytest
from conftest import copy_checkout, needs
from playwright.sync_api import expect, sync_playwright

# All cells are in the page at once, not only those that can be seen.
TRACKER = "@jupyterlab/notebook-extension/tracker.jupyterlab-settings"
FLAGS = ["--no-sandbox", "--disable-gpu"]  # root in a container has no sandbox


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """The notebook that `make lab` serves, and the page of JupyterLab that shows it."""
    needs("chromium", "chromium")
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
    address = re.compile(r"(http://127.0.0.1:\d+/lab)\S*(\?token=\w+)")
    try:
        while not (found := address.search(log.read_text())):
            assert server.poll() is None, log.read_text()
            time.sleep(0.1)
        with sync_playwright() as playwright:
            chromium = shutil.which("chromium")
            launch = playwright.chromium.launch
            page = launch(executable_path=chromium, args=FLAGS).new_page()
            page.goto(f"{found[1]}/tree/hw1.ipynb{found[2]}")
            idle = page.get_by_text("Python 3 (ipykernel) | Idle")
            expect(idle).to_be_visible(timeout=60_000)
            yield checkout / "hw1.ipynb", page
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(timeout=30)


def test_opening_and_saving_changes_nothing(lab):
    path, page = lab
    before = path.read_bytes()
    with page.expect_response(
        lambda r: "contents" in r.url and r.request.method == "PUT"
    ):
        page.locator(".jp-Notebook").press("Control+s")
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
    large = [f.is_visible() and f.bounding_box()["height"] > 100 for f in figures]
    assert large == [True] * shown
    text = page.locator(".jp-Notebook").inner_text()
    assert "<!--" not in text and "-->" not in text
    report = r"Report, Level (\d)(?s:.{,300}?)test accuracy.*\t\d\d\.\d\d%"
    assert re.findall(report, text) == ["1", "2", "3"]
