"""The set-up by make, with a stub in place of python3 and uv."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from common import ROOT

# In the step that $STEP names it does what $FAULT says.
STUB = """\
#!/bin/sh
case "$*" in
*$STEP*) $FAULT ;;
*" venv "*)
    for new; do :; done  # the last argument
    mkdir -p "$new/bin" && cp "$0" "$new/bin/python" && cp "$0" "$new/bin/uv" ;;
*) echo "$@" ;;
esac
"""
STEPS = ["-m venv", "-m pip install", " venv --", " pip sync --require-hashes"]
VENV, OLD, LOCK = Path(".venv"), Path(".venv", "old"), Path("tools/requirements.lock")


@pytest.fixture(autouse=True)
def in_a_new_checkout(tmp_path, monkeypatch):
    (tmp_path / "python3").write_text(STUB)
    (tmp_path / "python3").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    folder = tmp_path / 'it\'s a "chéckout"'
    (folder / LOCK).parent.mkdir(parents=True)
    (folder / LOCK).touch()
    shutil.copy(ROOT / "Makefile", folder)
    monkeypatch.chdir(folder)


def make(*goals, step="-none-", fault=""):
    """Run make in a session of its own, which `kill -9 0` ends."""
    environment = os.environ | {"STEP": step, "FAULT": fault}
    command = ["make", *(goals or ["html"])]
    return subprocess.call(command, env=environment, start_new_session=True)


@pytest.mark.parametrize("fault", ["exit 1", "kill -9 0"])
@pytest.mark.parametrize("step", STEPS)
def test_set_up_is_whole_or_absent(step, fault):
    assert make(step=step, fault=fault) != 0 and not VENV.exists()
    assert make() == 0
    OLD.touch()
    LOCK.touch()
    assert make(step=step, fault=fault) != 0 and OLD.exists()
    assert make() == 0 and not OLD.exists()
    assert make("clean") == 0
    assert not list(Path().glob(".venv*")), "what killed ones left is not removed"


def test_foreign_environment_stays(capfd):
    VENV.mkdir()
    assert make() != 0 and "Move it away" in capfd.readouterr().err
    assert list(VENV.iterdir()) == []


def test_submission_gets_andrew_id(capfd):
    assert make("submission", "ANDREW_ID=jdoe") == 0
    assert "tools/submission.py jdoe\n" in capfd.readouterr().out


def test_clean_keeps_other_files():
    before = sorted(Path().rglob("*"))
    assert make() == 0 and make("clean") == 0
    assert sorted(Path().rglob("*")) == before
