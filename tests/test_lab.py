"""*Run All Cells* in the JupyterLab of `make lab`, as a learner does it."""

import os
import re
import shutil
import signal
import subprocess

import nbformat
import pytest
from conftest import NOTEBOOK, ROOT
from playwright.sync_api import sync_playwright

CHROMIUM = shutil.which("chromium")
SETTINGS = "c.LabApp.expose_app_in_browser = True\nc.ServerApp.open_browser = False\n"
RUN_ALL = """async () => {
    await jupyterapp.commands.execute("notebook:run-all-cells");
    await jupyterapp.commands.execute("docmanager:save");
}"""


@pytest.fixture
def address(tmp_path):
    """The notebook's address in a copy of the project, where training is short."""
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
    command = f"JUPYTER_CONFIG_DIR={tmp_path} make lab 2>&1"
    options = {"cwd": tmp_path, "stdout": subprocess.PIPE, "text": True}
    server = subprocess.Popen(command, shell=True, start_new_session=True, **options)
    printed = ""
    while not (found := re.search(r"token: (\w+)(?s:.*)(http://127\S+/lab)", printed)):
        line = server.stdout.readline()
        assert line, printed
        printed += line
    yield f"{found[2]}/tree/hw1.ipynb?token={found[1]}"
    os.killpg(server.pid, signal.SIGTERM)
    server.communicate()


@pytest.mark.slow
@pytest.mark.skipif(not CHROMIUM and "CI" not in os.environ, reason="needs chromium")
def test_run_all_cells_in_jupyterlab(address, tmp_path):
    with sync_playwright() as playwright:
        options = {"executable_path": CHROMIUM, "args": ["--no-sandbox"]}  # root in CI
        page = playwright.chromium.launch(**options).new_page()
        page.goto(address)
        page.get_by_text("Python 3 (ipykernel) | Idle").wait_for(timeout=120_000)
        page.evaluate(RUN_ALL)
    cells = nbformat.read(tmp_path / "hw1.ipynb", as_version=4).cells
    for count, cell in enumerate((c for c in cells if c.cell_type == "code"), 1):
        for output in cell.outputs:
            assert output.output_type != "error", (cell.id, output.evalue)
            assert output.get("name") != "stderr", (cell.id, output.text)
        assert cell.execution_count == count, f"{cell.id} was not run in its turn"
