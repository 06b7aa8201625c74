"""The learner's path in a real browser: `make lab`, *Run All Cells*, save.

With three epochs instead of twenty, because test_whole_run.py has them all.
"""

import os
import re
import shutil
import signal
import socket
import subprocess
import time

import nbformat
import pytest
from conftest import ROOT, needs
from playwright.sync_api import expect, sync_playwright

# Of a user who shows another folder, and to the world.
CONFIGURATION = 'c.ServerApp.root_dir = "/"\nc.ServerApp.ip = "0.0.0.0"\n'


@pytest.fixture
def folder(tmp_path):
    """A copy of the project whose levels train for three epochs, without outputs."""
    for name in ".venv", ".uv", "data", "tools", "Makefile":
        (tmp_path / name).symlink_to(ROOT / name)
    shutil.copytree(ROOT / ".theano", tmp_path / ".theano", symlinks=True)
    notebook = nbformat.read(ROOT / "hw1.ipynb", as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            source = re.sub('epochs("?[:=] ?)20', r"epochs\g<1>3", cell.source)
            cell.update(source=source, outputs=[], execution_count=None)
    nbformat.write(notebook, tmp_path / "hw1.ipynb")
    return tmp_path


@pytest.fixture
def server(folder):
    """The port and the token of `make lab` in the copy."""
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
    address = re.compile(r"http://127.0.0.1:(\d+)/lab\S*(\?token=\w+)")
    try:
        while not (found := address.search(log.read_text())):
            assert process.poll() is None, log.read_text()
            time.sleep(0.1)
        yield found.groups()
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=30)


@pytest.fixture
def page(server):
    """The page of JupyterLab that shows the notebook."""
    needs("chromium", "chromium")
    port, token = server
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"),
            args=["--no-sandbox", "--disable-gpu"],  # in a container root has none
        )
        page = browser.new_page()
        page.goto(f"http://127.0.0.1:{port}/lab/tree/hw1.ipynb{token}")
        idle = page.get_by_text("Python 3 (ipykernel) | Idle")
        expect(idle).to_be_visible(timeout=60_000)
        yield page


@pytest.mark.slow
def test_run_all_ends_without_an_error_and_is_saved_clean(folder, server, page):
    before = nbformat.read(folder / "hw1.ipynb", as_version=4)
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    counts, end = [None], time.monotonic() + 300
    while counts[-1] is None:
        assert time.monotonic() < end, f"after five minutes: {counts}"
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
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.2", int(server[0])))
