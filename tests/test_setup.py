"""The set-up by make, with a stub in place of python3 and uv."""

import os
import shutil
import subprocess

import pytest
from common import ROOT

# Each call is noted in $LOG. One that holds the word of $FAILS fails; one that holds
# that of $DIES takes make along.
STUB = """\
#!/bin/sh
echo "$* $PYTHONPATH" >> "$LOG"
case "$*" in
*$FAILS*) exit 1 ;;
*$DIES*) kill -9 0 ;;
*" venv "*)
    for new; do :; done  # the last argument
    mkdir -p "$new/bin" && cp "$0" "$new/bin/python" && cp "$0" "$new/bin/uv" ;;
esac
"""


class Checkout:
    """A folder with the Makefile, the packages to install, and the stub."""

    def __init__(self, folder):
        self.folder, self.venv = folder, folder / ".venv"
        (folder / "bin").mkdir(parents=True)
        (folder / "bin" / "python3").write_text(STUB)
        (folder / "bin" / "python3").chmod(0o755)
        (folder / "tools").mkdir()
        self.lock = folder / "tools" / "requirements.lock"
        self.lock.touch()
        shutil.copy(ROOT / "Makefile", folder)

    def make(self, fails="-none-", dies="-none-"):
        """Run `make html`; return its exit status and the calls of Python and uv."""
        log = self.folder / "log"
        log.write_text("")
        path = f"{self.folder}/bin:{os.environ['PATH']}"
        settings = {"PATH": path, "LOG": log, "PYTHONPATH": "foreign"}
        ran = subprocess.run(
            ["make", "html"],
            cwd=self.folder,
            env=os.environ | settings | {"FAILS": fails, "DIES": dies},
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,  # for kill -9 0
        )
        self.said, calls = ran.stderr, log.read_text()
        assert "foreign" not in calls, "the user's PYTHONPATH reaches Python"
        return ran.returncode, calls.splitlines()


@pytest.fixture
def checkout(tmp_path):
    return Checkout(tmp_path / 'it\'s a "chéckout"')


STEPS = ["-m venv", "pip install", " venv --", "pip sync"]


@pytest.mark.parametrize("step", STEPS)
def test_set_up_is_whole_or_absent(step, checkout):
    for fault, bad in ({"fails": step}, 2), ({"dies": step}, -9):
        assert checkout.make(**fault)[0] == bad
        assert not checkout.venv.exists()
    status, calls = checkout.make()
    assert status == 0 and len(calls) == len(STEPS) + 1
    assert all(word in call for word, call in zip(STEPS, calls, strict=False))
    assert "--require-hashes" in calls[-2] and "nbconvert" in calls[-1]
    assert checkout.make() == (0, calls[-1:]), "it is installed again"
    assert not list(checkout.folder.glob(".venv.*")), "a set-up that died is kept"


@pytest.mark.parametrize("step", STEPS)
def test_failed_renewal_keeps_old_one(step, checkout):
    checkout.make()
    (checkout.venv / "old").touch()
    later = checkout.lock.stat().st_mtime + 60
    os.utime(checkout.lock, (later, later))
    for fault in {"fails": step}, {"dies": step}:
        assert checkout.make(**fault)[0]
        assert (checkout.venv / "old").exists()
    assert checkout.make()[0] == 0
    assert not (checkout.venv / "old").exists(), "the new lock is not installed"


@pytest.mark.parametrize("kind", ["a folder", "a dangling link"])
def test_foreign_environment_stays(kind, checkout):
    checkout.venv.mkdir() if kind == "a folder" else checkout.venv.symlink_to("nowhere")
    status, calls = checkout.make()
    assert status and not calls and ".venv" in checkout.said
    assert os.path.lexists(checkout.venv) and not (checkout.venv / "bin").exists()
