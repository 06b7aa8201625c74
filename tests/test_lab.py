"""*Run All Cells* in the JupyterLab of `make lab`, as a learner does it."""

import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import nbformat
import pytest
from conftest import NOTEBOOK, ROOT
from playwright.sync_api import sync_playwright

CHROMIUM = shutil.which("chromium")
# Of a user whose JupyterLab is open to the world, and in this test to scripts.
SETTINGS = """\
c.ServerApp.ip = "0.0.0.0"
c.ServerApp.open_browser = False
c.IdentityProvider.token = ""
c.LabApp.expose_app_in_browser = True
"""


@pytest.fixture
def printed(tmp_path, monkeypatch):
    """What `make lab` prints in a copy of the project, where training is short."""
    (ROOT / ".theano").mkdir(exist_ok=True)  # what is compiled once serves all
    for name in ".venv", ".theano", "data", "tools", "Makefile":
        (tmp_path / name).symlink_to(ROOT / name)
    notebook = nbformat.from_dict(NOTEBOOK)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.source = re.sub(r"(epochs\W+)\d+", r"\g<1>1", cell.source)
            cell.update(outputs=[], execution_count=None)
    nbformat.write(notebook, tmp_path / "hw1.ipynb")
    (tmp_path / "jupyter_lab_config.py").write_text(SETTINGS)
    monkeypatch.setenv("JUPYTER_CONFIG_DIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    with Path("log").open("w") as log:
        process = subprocess.Popen(
            ["make", "lab"], stdout=log, stderr=log, start_new_session=True
        )
    while "Control-C" not in (text := Path("log").read_text()):
        assert process.poll() is None, text
        time.sleep(0.1)
    yield text
    os.killpg(process.pid, signal.SIGTERM)
    process.wait()


@pytest.mark.slow
@pytest.mark.skipif(not CHROMIUM and "CI" not in os.environ, reason="needs chromium")
def test_run_all_cells_in_jupyterlab(printed):
    hosts = set(re.findall(r"http://(\S+):\d+/lab", printed))
    assert hosts == {"127.0.0.1"}, "other machines can reach it"
    address = re.search(r"http://\S+/lab", printed)[0]
    token = re.search(r"token: (\w+)", printed)[1]
    with sync_playwright() as playwright:
        options = {"executable_path": CHROMIUM, "args": ["--no-sandbox"]}  # for root
        page = playwright.chromium.launch(**options).new_page()
        page.goto(address)
        assert "/login" in page.url, "it asks for no token"
        page.goto(f"{address}/tree/hw1.ipynb?token={token}")
        page.get_by_text("Python 3 (ipykernel) | Idle").wait_for(timeout=120_000)
        for command in "notebook:run-all-cells", "docmanager:save":
            page.evaluate(f"jupyterapp.commands.execute('{command}')")
    cells = nbformat.read("hw1.ipynb", as_version=4).cells
    for count, cell in enumerate((c for c in cells if c.cell_type == "code"), 1):
        for output in cell.outputs:
            assert output.output_type != "error", (cell.id, output.evalue)
            assert output.get("name") != "stderr", (cell.id, output.text)
        assert cell.execution_count == count, f"{cell.id} was not run in its turn"
