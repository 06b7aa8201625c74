"""tools/setup.sh under `make`, with packages of our own: no network, a few seconds."""

import hashlib
import os
import re
import shutil
import subprocess
import zipfile

import pytest
from conftest import ROOT

UV = ROOT / ".uv" / "bin"
UV_VERSION = re.search("UV_VERSION=(.*)", (ROOT / "tools/setup.sh").read_text())[1]


def wheel(folder, name, version, path, content):
    """Write a package of one file; return its line of a lock file."""
    info = f"{name}-{version}.dist-info"
    target = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(target, "w") as archive:
        file = zipfile.ZipInfo(path)
        file.external_attr = 0o100755 << 16  # uv can be started
        archive.writestr(file, content)
        archive.writestr(f"{info}/METADATA", f"Name: {name}\nVersion: {version}\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", f"{path},,\n")
    digest = hashlib.sha256(target.read_bytes()).hexdigest()
    return f"{name}=={version} --hash=sha256:{digest}\n"


@pytest.fixture
def checkout(tmp_path):
    """A checkout that needs one package; python3 is too old, python3.11 is not."""
    folder = tmp_path / 'it\'s a "chéckout"'
    shutil.copytree(ROOT / "tools", folder / "tools")
    shutil.copy(ROOT / "Makefile", folder)
    (folder / "tools" / "run.py").write_text("import probe; print(probe.__file__)")
    old = f'"{UV}/python" -c "import sys; sys.version_info = 3, 7; exec(sys.argv[2])"'
    for name, command in [("python3", old), ("python3.11", f'"{UV}/python"')]:
        (tmp_path / name).write_text(f'#!/bin/sh\n{command} "$@"\n')
        (tmp_path / name).chmod(0o755)
    uv = f"uv-{UV_VERSION}.data/scripts/uv"
    wheel(tmp_path, "uv", UV_VERSION, uv, f'#!/bin/sh\nexec "{UV}/uv" "$@"\n')
    lock = folder / "tools" / "requirements.lock"
    lock.write_text(wheel(tmp_path, "probe", "1", "probe.py", ""))
    conf = f"no-index = true\nfind-links = {tmp_path}\nuser = true\n"
    (tmp_path / "pip.conf").write_text(f"[install]\n{conf}target = {tmp_path}/lost")
    return folder


def make_run(checkout, **settings):
    """Start `make run` with these environment variables; only our wheels are found."""
    at = checkout.parent
    kept = {k: v for k, v in os.environ.items() if not re.match("PIP_|UV_|MAKE", k)}
    kept |= {"PATH": f"{at}:{kept['PATH']}", "PIP_CONFIG_FILE": at / "pip.conf"}
    kept |= {"UV_FIND_LINKS": at, "UV_CACHE_DIR": at / "cache"}
    kept |= {"HTTPS_PROXY": "http://127.0.0.1:9"} | settings  # nothing listens there
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen(["make", "-C", checkout, "run"], env=kept, **pipes)


def test_only_this_checkout_is_set_up_whatever_the_users_settings(checkout, tmp_path):
    foreign = tmp_path / "foreign"
    shutil.copytree(checkout, foreign)
    subprocess.run([UV / "uv", "venv", "-q", foreign / ".venv"], check=True)
    (foreign / ".venv" / "probe.py").write_text("raise SystemExit('foreign')")
    before = sorted(foreign.rglob("*"))
    (tmp_path / "uv.toml").write_text("nonsense = 1")
    settings = {"CDPATH": foreign, "UV_WORKING_DIR": foreign, "PIP_NO_BINARY": ":all:"}
    settings |= {"PYTHONPATH": foreign / ".venv"}
    output = make_run(checkout, **settings).communicate()[0]
    assert f"\n{checkout}/.venv/" in output, output
    assert sorted(foreign.rglob("*")) == before


def test_python_that_is_gone_is_made_again_once_for_two_runs(checkout):
    (checkout / ".uv").symlink_to(UV.parent)
    (checkout / ".venv" / "bin").mkdir(parents=True)
    (checkout / ".venv" / "bin" / "python").symlink_to("python3")
    (checkout / ".venv" / ".ready").touch()
    outputs = [run.communicate()[0] for run in [make_run(checkout) for _ in range(2)]]
    assert all(f"\n{checkout}/.venv/" in output for output in outputs), outputs
    assert "".join(outputs).count("set-up: installing") == 1, outputs


def test_too_old_a_python_is_told_what_is_needed(checkout, tmp_path):
    shutil.copy(tmp_path / "python3", tmp_path / "python3.11")
    output = make_run(checkout).communicate()[0]
    assert "set-up: neither python3 nor python3.11 is a Python 3.8" in output
