#!/bin/sh
# Create or repair .venv: Python 3.11 with exactly the packages of tools/requirements.lock.
# `make` calls it when .venv/.ready is missing or older than the lock file.
set -eu
cd "$(dirname "$0")/.."

UV_VERSION=0.13.9

fail() {
    echo "set-up: $1" >&2
    exit 1
}

command -v python3 >/dev/null ||
    fail "python3 is missing. Install Python 3 (any version) and run make again."

# uv installs the packages and, where the system's Python is not 3.11, fetches one that is.
if ! .uv/bin/uv --version 2>/dev/null | grep -qF "uv $UV_VERSION"; then
    echo "set-up: installing uv $UV_VERSION"
    rm -rf .uv
    python3 -m venv .uv >/dev/null 2>&1 ||
        fail "python3 cannot create environments. On Debian: apt install python3-venv"
    .uv/bin/python -m pip install --quiet --disable-pip-version-check "uv==$UV_VERSION" ||
        fail "uv cannot be installed from PyPI (see above). Check the network and run make again."
fi

echo "set-up: installing Python 3.11 and the packages into .venv"
.uv/bin/uv venv --quiet --clear --python 3.11 .venv ||
    fail "no Python 3.11 here, and none can be fetched (see above). Install it (Debian: apt install python3.11 python3.11-venv python3.11-dev) or check the network, then run make again."
.uv/bin/uv pip sync --quiet --python .venv --require-hashes tools/requirements.lock ||
    fail "the packages cannot be installed (see above). Check the network and the disk, then run make again."
touch .venv/.ready
