"""tools/setup.sh under `make`: with uv that is there, without packages or a network."""

import os
import re
import shutil
import subprocess

import pytest
from conftest import ROOT


@pytest.fixture
def checkout(tmp_path):
    """A checkout that needs no package; its run prints where its Python lies."""
    folder = tmp_path / 'it\'s a "chéckout"'
    shutil.copytree(ROOT / "tools", folder / "tools")
    shutil.copy(ROOT / "Makefile", folder)
    (folder / "tools" / "run.py").write_text("import sys; print(sys.prefix)")
    (folder / "tools" / "requirements.lock").write_text("")
    (folder / ".uv").symlink_to(ROOT / ".uv")
    return folder


def make_run(checkout, **settings):
    """Start `make run` with these environment variables."""
    kept = {k: v for k, v in os.environ.items() if not re.match("UV_|MAKE", k)}
    kept |= {"PATH": f"{ROOT}/.venv/bin:{kept['PATH']}", "UV_OFFLINE": "1"} | settings
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen(["make", "-C", checkout, "run"], env=kept, **pipes)


def test_only_this_checkout_is_set_up_whatever_the_users_settings(checkout, tmp_path):
    foreign = shutil.copytree(checkout, tmp_path / "foreign", symlinks=True)
    (foreign / ".venv").mkdir()
    (foreign / ".venv" / "sysconfig.py").write_text("raise SystemExit('foreign')")
    before = sorted(foreign.rglob("*"))
    (tmp_path / "uv.toml").write_text("nonsense = 1")
    settings = {"CDPATH": foreign, "UV_WORKING_DIR": foreign}
    settings |= {"PYTHONPATH": foreign / ".venv", "UV_NO_SYNC": "nonsense"}
    output = make_run(checkout, **settings).communicate()[0]
    assert f"\n{checkout}/.venv\n" in output, output
    assert sorted(foreign.rglob("*")) == before


def test_python_that_is_gone_is_made_again_once_for_two_runs(checkout):
    (checkout / ".venv" / "bin").mkdir(parents=True)
    (checkout / ".venv" / "bin" / "python").symlink_to("python3")
    (checkout / ".venv" / ".ready").touch()
    outputs = [run.communicate()[0] for run in [make_run(checkout) for _ in range(2)]]
    assert all(f"\n{checkout}/.venv\n" in output for output in outputs), outputs
    assert "".join(outputs).count("set-up: installing") == 1, outputs


def test_make_installs_the_versions_that_requirements_name():
    files = "requirements.txt", "tools/requirements.txt", "tools/requirements.lock"
    read = [(ROOT / name).read_text().lower() for name in files]
    *asked, locked = [set(re.findall(r"^[\w-]+==[\w.]+", r, re.M)) for r in read]
    assert set() < asked[0] | asked[1] <= locked
