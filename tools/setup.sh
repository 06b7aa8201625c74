#!/bin/sh
# Create or repair .venv: Python 3.11 with exactly the packages of tools/requirements.lock.
# `make` calls it before each command. What .venv was made from is kept in .venv/.ready, as text:
# the times of files say less where a clock is wrong.
set -eu
unset CDPATH # with it, cd may find another folder of the same name
cd "$(dirname "$0")/.."

UV_VERSION=0.13.9
export UV_PYTHON_INSTALL_DIR="$PWD/.uv/python" # a Python that uv fetches stays in this folder

wanted=$(cat tools/setup.sh tools/requirements.lock)
is_ready() {
    [ -x .venv/bin/python ] && [ "$(cat .venv/.ready 2>/dev/null)" = "$wanted" ]
}
if is_ready; then exit; fi

fail() {
    echo "set-up: $1" >&2
    exit 1
}

# A Python that can install uv: 3.8 or newer, with what Debian packs as python3-venv.
for python in python3 python3.11; do
    "$python" -c 'import ensurepip, sys; sys.exit(sys.version_info < (3, 8))' 2>/dev/null && break
done || fail "neither python3 nor python3.11 is a Python 3.8 or newer with ensurepip. Install one (Debian: apt install python3-venv) and run make again."

# Of two set-ups one waits. The lock ends with this process, however it ends.
exec 9<tools/setup.sh
"$python" -c '
import fcntl, signal
signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C while waiting: no traceback
try:
    fcntl.flock(9, fcntl.LOCK_EX | fcntl.LOCK_NB)
except BlockingIOError:
    print("set-up: waiting for another one in this folder", flush=True)
    fcntl.flock(9, fcntl.LOCK_EX)
except OSError:
    pass  # a file system without locks
'
if is_ready; then exit; fi

# uv installs the packages and, where the system's Python is not 3.11, fetches one that is.
if ! .uv/bin/uv --version 2>/dev/null | grep -qF "uv $UV_VERSION"; then
    echo "set-up: installing uv $UV_VERSION"
    rm -rf .uv
    problem=$({ "$python" -Im venv --without-pip .uv && .uv/bin/python -Im ensurepip; } 2>&1) ||
        fail "$python cannot create an environment: $(echo "$problem" | grep -im1 error)"
    # The options undo what pip's configuration may say.
    .uv/bin/python -Im pip install --quiet --disable-pip-version-check --no-cache-dir \
        --retries 1 --no-user --target= --only-binary :all: "uv==$UV_VERSION" ||
        fail "uv cannot be installed from PyPI (see above). Check the network and the disk, then run make again."
fi

uv=".uv/bin/uv --quiet --no-config" # the user's uv.toml may name another folder to install into
echo "set-up: installing Python 3.11 and the packages into .venv"
rm -rf .venv
mkdir -p .home
$uv venv --python 3.11 .venv ||
    fail ".venv cannot be created (see above). If Python 3.11 is missing, install it (Debian: apt install python3.11-dev) or check the network, then run make again."
# What uv's cache holds needs no network.
sync="$uv pip sync --python .venv --require-hashes tools/requirements.lock"
$sync --offline 2>/dev/null || $sync ||
    fail "the packages cannot be installed (see above). Check the network, the disk and, for an index of your own, UV_DEFAULT_INDEX, then run make again."
.venv/bin/python -Ic "import nbclient, numpy" ||
    fail "the packages are installed, but cannot be imported (see above)."
printf '%s\n' "$wanted" >.venv/.ready
