# `make` alone lists the commands.

PYTHON := .venv/bin/python
OURS := hw1.ipynb data tools tests

# The user's settings for Python, pip and uv stay outside, except those that say where
# packages come from.
unexport $(filter-out %_INDEX_URL %_INDEX UV_INDEX% %_FIND_LINKS %_HOST %_PROXY %_CERT \
    %_CERTS %_TLS %_PROVIDER %_TIMEOUT %_CONFIG_FILE %_CACHE_DIR %_MIRROR %_OFFLINE, \
    $(filter PYTHON% PIP_% UV_%, $(.VARIABLES)))

# Jupyter and uv keep files under $HOME: where it cannot be written, they get a folder here.
ifeq ($(shell test -d "$$HOME" && test -w "$$HOME" && echo writable),)
export HOME := $(CURDIR)/.home
$(shell mkdir -p .home)
endif

# A .venv whose Python has gone is made again.
$(shell test -x $(PYTHON) || rm -f .venv/.ready)

.PHONY: help run test lab html submission derivation bench lock clean

help:  ## list the commands
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-11s %s\n", $$1, $$2 }' Makefile

run: .venv/.ready  ## execute hw1.ipynb from the first cell to the last, write its reports
	$(PYTHON) tools/run.py

test: .venv/.ready  ## check style, then prove the notebook, the data and the tools
	$(PYTHON) -m ruff check $(OURS)
	$(PYTHON) -m ruff format --check $(OURS)
	OMP_NUM_THREADS=1 $(PYTHON) -m pytest

# In a container root is the only user.
lab: .venv/.ready  ## open hw1.ipynb in JupyterLab
	$(PYTHON) -m jupyterlab --allow-root hw1.ipynb

html: .venv/.ready  ## write hw1.html, the notebook as one file for a browser
	$(PYTHON) tools/export_html.py

submission: .venv/.ready  ## write the zip to hand in: make submission ANDREW_ID=jdoe
	$(PYTHON) tools/submission.py -- "$$ANDREW_ID"

derivation: .venv/.ready  ## build derivation/derivation.pdf from the LaTeX (needs latexmk)
	$(PYTHON) tools/build_derivation.py

bench: .venv/.ready .bench/.ready  ## time the levels and their peers (about 3 minutes, Linux on x86-64)
	$(PYTHON) tools/bench.py

lock: .venv/.ready  ## resolve requirements.txt and tools/requirements.txt anew
	.uv/bin/uv pip compile --quiet --universal --python-version 3.11 \
	    --generate-hashes --custom-compile-command "make lock" \
	    requirements.txt tools/requirements.txt --output-file tools/requirements.lock

clean:  ## remove the environment and the caches
	rm -rf .venv .bench .uv .home .theano .pytest_cache .ruff_cache .ipynb_checkpoints

.venv/.ready: tools/requirements.lock tools/setup.sh
	@sh tools/setup.sh

# pip, because uv would look for torch on PyPI only.
.bench/.ready: tools/bench-requirements.lock .venv/.ready
	rm -rf .bench
	.uv/bin/uv --quiet --project tools venv --python $(PYTHON) .bench
	.uv/bin/python -m pip --python .bench install -qq --no-user --target= --retries 0 \
	    --find-links https://download.pytorch.org/whl/cpu/torch/ \
	    --require-hashes -r tools/bench-requirements.lock
	touch $@
