# `make` alone lists the commands.

PYTHON := .venv/bin/python
OURS := hw1.ipynb data tools tests

# Of the user's settings for Python, pip and uv only these pass: where packages come from.
SOURCES := PIP_CONFIG_FILE PIP_INDEX_URL PIP_EXTRA_INDEX_URL PIP_FIND_LINKS PIP_TRUSTED_HOST \
    PIP_PROXY PIP_CERT PIP_CLIENT_CERT PIP_DEFAULT_TIMEOUT UV_DEFAULT_INDEX UV_EXTRA_INDEX_URL \
    UV_INDEX% UV_FIND_LINKS UV_INSECURE_HOST UV_KEYRING_PROVIDER UV_NATIVE_TLS UV_SYSTEM_CERTS \
    UV_HTTP_TIMEOUT UV_PYTHON_INSTALL_MIRROR UV_CACHE_DIR UV_OFFLINE
unexport $(filter-out $(SOURCES), $(filter PYTHON% PIP_% UV_%, $(.VARIABLES)))

# Jupyter and uv keep files under $HOME: where it cannot be written, they get a folder here.
ifeq ($(shell test -d "$$HOME" && test -w "$$HOME" && echo writable),)
export HOME := $(CURDIR)/.home
endif

.NOTPARALLEL: # `make -j run html` writes the page of the new notebook
.PHONY: always help run test lab html submission derivation bench lock clean

help:  ## list the commands
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-11s %s\n", $$1, $$2 }' Makefile

run: .venv/.ready  ## execute hw1.ipynb from the first cell to the last, write its reports
	$(PYTHON) tools/run.py

test: .venv/.ready  ## check style, then prove the notebook, the data and the tools
	$(PYTHON) -m ruff check $(OURS)
	$(PYTHON) -m ruff format --check $(OURS)
	HOME="$$PWD/.home" OMP_NUM_THREADS=1 $(PYTHON) -m pytest

# In a container root is the only user. The other options undo what the user's Jupyter may say.
lab: .venv/.ready  ## open hw1.ipynb in JupyterLab
	$(PYTHON) -m jupyterlab --allow-root --ServerApp.ip=localhost --ServerApp.root_dir=. hw1.ipynb

html: .venv/.ready  ## write hw1.html, the notebook as one file for a browser
	$(PYTHON) tools/export_html.py

submission: .venv/.ready  ## write the zip to hand in: make submission ANDREW_ID=jdoe
	$(PYTHON) tools/submission.py "$$ANDREW_ID"

derivation: .venv/.ready  ## build derivation/derivation.pdf from the LaTeX (needs latexmk)
	$(PYTHON) tools/build_derivation.py

# PyTorch's build without CUDA is not on PyPI.
bench: .venv/.ready  ## time the levels and their peers (about 5 minutes, Linux on x86-64)
	.uv/bin/uv run --no-config --python $(PYTHON) --find-links \
	    '$(or $(UV_FIND_LINKS),$(PIP_FIND_LINKS),https://download.pytorch.org/whl/cpu/torch/)' \
	    --script tools/bench.py

# uv reads pyproject.toml here, and no uv.toml of the user.
lock: .venv/.ready  ## resolve requirements.txt and tools/requirements.txt anew
	XDG_CONFIG_HOME=/dev/null .uv/bin/uv pip compile --quiet --universal --python-version 3.11 \
	    --generate-hashes --custom-compile-command "make lock" \
	    requirements.txt tools/requirements.txt --output-file tools/requirements.lock

clean:  ## remove the environment and the caches
	rm -rf .venv .bench .uv .home .theano .pytest_cache .ruff_cache .ipynb_checkpoints

.venv/.ready: always
	@sh tools/setup.sh
