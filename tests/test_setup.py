"""The Makefile and tools/setup.sh: what is installed, where, and what runs.

Set-up is tried in a small checkout: with the uv that is there, on one tiny
package, without a network.
"""

import hashlib
import os
import re
import shutil
import subprocess
import zipfile
from importlib.util import find_spec

import pytest
from conftest import ROOT, SOURCE
from packaging.requirements import Requirement

RUN = """\
import sys, numpy
print(sys.prefix, numpy.__file__)
"""


@pytest.fixture
def checkout(tmp_path):
    """A checkout whose `make run` prints where its Python and numpy lie."""
    folder = tmp_path / 'it\'s a "chéckout"'
    shutil.copytree(ROOT / "tools", folder / "tools")
    shutil.copy(ROOT / "Makefile", folder)
    (folder / ".uv").symlink_to(ROOT / ".uv")
    (folder / "tools" / "run.py").write_text(RUN)
    require_package_with(folder, "numpy", "nbclient")
    return folder


def require_package_with(folder, *modules):
    """Let the checkout need one package, which holds these empty modules."""
    info = "packages-1.dist-info"
    files = {f"{name}.py": "" for name in modules}
    files[f"{info}/METADATA"] = (
        "Metadata-Version: 2.1\nName: packages\nVersion: 1"
    )
    files[f"{info}/WHEEL"] = "Wheel-Version: 1.0\nTag: py3-none-any"
    files[f"{info}/RECORD"] = "".join(f"{name},,\n" for name in files)
    wheel = folder / "packages-1-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as file:
        for name, text in files.items():
            file.writestr(name, text)
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    lock = folder / "tools" / "requirements.lock"
    lock.write_text(f"packages==1 --hash=sha256:{digest}\n")


def start_make(checkout, *targets, **settings):
    """Start `make` with these environment variables."""
    kept = {k: v for k, v in os.environ.items() if not re.match("UV_|MAKE", k)}
    kept["PATH"] = f"{ROOT}/.venv/bin:{kept['PATH']}"
    kept |= {"UV_OFFLINE": "1", "UV_FIND_LINKS": str(checkout)}
    return subprocess.Popen(
        ["make", "--directory", checkout, *targets],
        env=kept | {"UV_CACHE_DIR": str(checkout.parent / "cache")} | settings,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def output_of_make(checkout, *targets, **settings):
    """Run `make`; return what it printed."""
    return start_make(checkout, *targets, **settings).communicate()[0]


def files_in(folder):
    """Return the paths of all files in the folder."""
    return {path for path in folder.rglob("*") if path.is_file()}


# --- Set-up ---


def is_its_own(output, checkout):
    """Say whether `make run` took Python and numpy from its own .venv."""
    return f"\n{checkout}/.venv {checkout}/.venv/" in output


@pytest.mark.parametrize(
    "line",
    [
        'target = "{foreign}"',
        'prefix = "{foreign}"',
        'python-version = "3.12"',
        'python-platform = "windows"',
    ],
)
def test_uv_toml_of_the_user_moves_nothing(line, checkout, tmp_path):
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "precious").touch()
    (tmp_path / "uv").mkdir()
    settings = "[pip]\n" + line.format(foreign=foreign)
    (tmp_path / "uv" / "uv.toml").write_text(settings)
    output = output_of_make(checkout, "run", XDG_CONFIG_HOME=str(tmp_path))
    assert is_its_own(output, checkout), output
    assert files_in(foreign) == {foreign / "precious"}


def test_variables_of_the_user_move_nothing(checkout, tmp_path):
    foreign = shutil.copytree(checkout, tmp_path / "foreign", symlinks=True)
    (foreign / "sysconfig.py").write_text("raise SystemExit('foreign')")
    before = files_in(foreign)
    output = output_of_make(
        checkout,
        "run",
        CDPATH=str(foreign),
        UV_WORKING_DIR=str(foreign),
        UV_PROJECT=str(foreign),
        UV_CONFIG_FILE=str(foreign / "nowhere"),
        UV_NO_SYNC="nonsense",
        PYTHONPATH=str(foreign),
    )
    assert is_its_own(output, checkout), output
    assert files_in(foreign) == before


def test_environment_without_its_packages_is_not_called_ready(checkout):
    require_package_with(checkout, "nbclient")
    output = output_of_make(checkout, "run")
    assert "No module named 'numpy'" in output
    assert "the packages are installed, but cannot be imported" in output
    assert not (checkout / ".venv" / ".ready").exists()


def test_python_that_is_gone_is_made_again_once_for_two_runs(checkout):
    output_of_make(checkout, "run")
    (checkout / ".venv" / "bin" / "python").unlink()
    runs = [start_make(checkout, "run") for _ in range(2)]
    outputs = [run.communicate()[0] for run in runs]
    assert all(is_its_own(output, checkout) for output in outputs), outputs
    assert "".join(outputs).count("set-up: installing") == 1, outputs


def test_set_up_again_for_other_packages_and_for_no_wrong_clock(checkout):
    lock = checkout / "tools" / "requirements.lock"
    os.utime(lock, (4e9, 4e9))  # in the year 2096
    installed = "set-up: installing"
    assert installed in output_of_make(checkout, "run")
    assert installed not in output_of_make(checkout, "run")
    lock.write_text(lock.read_text() + "# another version\n")
    os.utime(lock, (1e9, 1e9))
    assert installed in output_of_make(checkout, "run")


def test_python_that_uv_fetches_lies_in_the_folder(checkout):
    (checkout / ".uv").unlink()
    (checkout / ".uv" / "bin").mkdir(parents=True)
    uv = checkout / ".uv" / "bin" / "uv"
    uv.write_text(
        "#!/bin/sh\n"
        'echo "Pythons: $UV_PYTHON_INSTALL_DIR" >&2\n'
        f'exec {ROOT}/.uv/bin/uv "$@"\n'
    )
    uv.chmod(0o755)
    assert f"Pythons: {checkout}/.uv/" in output_of_make(checkout, "run")


def test_lock_is_for_python_3_11_whatever_the_users_uv_toml(checkout, tmp_path):
    shutil.copy(ROOT / "pyproject.toml", checkout)
    (checkout / "requirements.txt").write_text("packages==1")
    (checkout / "tools" / "requirements.txt").write_text("")
    (tmp_path / "uv").mkdir()
    (tmp_path / "uv" / "uv.toml").write_text("[pip]\nno-header = true")
    output = output_of_make(checkout, "lock", XDG_CONFIG_HOME=str(tmp_path))
    text = (checkout / "tools" / "requirements.lock").read_text()
    assert "make lock" in text and "packages==1" in text, output
    assert "python_full_version < '3.12'" in text, "see pyproject.toml"


# --- The Makefile ---


def test_jobs_do_not_overtake_each_other(checkout):
    tools = checkout / "tools"
    tools.joinpath("run.py").write_text(
        "import time; time.sleep(1); print('ran')"
    )
    tools.joinpath("export_html.py").write_text("print('exported')")
    output = output_of_make(checkout, "-j", "run", "html")
    assert re.findall("^(?:ran|exported)$", output, re.M) == ["ran", "exported"]


def test_every_script_and_module_that_make_starts_is_there():
    makefile = (ROOT / "Makefile").read_text("utf-8")
    scripts = re.findall(r"tools/[\w.-]+", makefile)
    assert "tools/run.py" in scripts
    for script in scripts:
        assert (ROOT / script).exists(), f"the Makefile starts {script}"
    for module in re.findall(r"\$\(PYTHON\) -m (\w+)", makefile):
        assert find_spec(module), f"the Makefile starts the module {module}"


def test_make_has_every_command_that_the_texts_name():
    makefile = (ROOT / "Makefile").read_text("utf-8")
    targets = re.findall(r"^([a-z]+):", makefile, re.M)
    readme = (ROOT / "README.md").read_text("utf-8")
    text = "\n".join([readme, *SOURCE.values()])
    named = set(re.findall(r"(?:`|^    )make ([a-z]+)", text, re.M))
    assert "run" in named
    assert named <= set(targets), f"no target: {named - set(targets)}"


def test_ci_leaves_no_test_out(tmp_path):
    """`needs` in conftest.py fails, instead of skipping, where CI is set."""
    for program in ("make", "latexmk", "pdflatex", "chromium"):
        (tmp_path / program).write_text('#!/bin/sh\necho "make $* in CI: $CI"')
        (tmp_path / program).chmod(0o755)
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    ran = subprocess.run(
        [ROOT / ".ci" / "run"], env=environment, capture_output=True, text=True
    )
    assert ran.stdout == "make test in CI: true\n"


# --- The requirements ---


def pins(name):
    """Return {(package, "==version")} of a requirements file, all pinned."""
    text = (ROOT / name).read_text("utf-8").replace("\\\n", "")
    found = set()
    for line in re.sub(r"#.*|--hash=\S+", "", text).split("\n"):
        if line.strip():
            requirement = Requirement(line)
            version = str(requirement.specifier)
            assert re.fullmatch(r"==[\w.]+", version), f"{line}: pin a version"
            found.add((requirement.name.lower(), version))
    return found


def test_make_installs_the_versions_that_the_requirements_pin():
    direct = pins("requirements.txt")
    assert "numpy" in dict(direct)
    direct |= pins("tools/requirements.txt")
    locked = pins("tools/requirements.lock")
    locked = {pin for pin in locked if pin[0] in dict(direct)}
    assert locked == direct, "make lock brings the lock up to date"
