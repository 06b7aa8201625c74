# `make` alone lists the commands.

UV := .uv/uv-0.13.9
PYTHON := .venv/bin/python
OURS := hw1.ipynb data tools tests bench

# Of the user's settings for Python, pip, uv only these pass: where packages come from.
SOURCES := PIP_CONFIG_FILE PIP_INDEX_URL PIP_EXTRA_INDEX_URL PIP_FIND_LINKS PIP_PROXY \
    PIP_TRUSTED_HOST PIP_CERT PIP_DEFAULT_TIMEOUT UV_DEFAULT_INDEX UV_INDEX% \
    UV_FIND_LINKS UV_INSECURE_HOST UV_SYSTEM_CERTS UV_HTTP_TIMEOUT \
    UV_PYTHON_INSTALL_MIRROR UV_CACHE_DIR UV_OFFLINE
unexport $(filter-out $(SOURCES), $(filter PYTHON% PIP_% UV_%, $(.VARIABLES)))
export UV_PYTHON_INSTALL_DIR := $(CURDIR)/.uv/python

# Jupyter and uv write to $HOME: where that is impossible, they get a folder here.
ifeq ($(shell test -d "$$HOME" && test -w "$$HOME" && echo writable),)
export HOME := $(CURDIR)/.home
endif

.NOTPARALLEL: # `make -j run html` writes the page of the new notebook
.PHONY: help setup writable run test lab html submission derivation bench lock clean

help:  ## list the commands
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-11s %s\n", $$1, $$2 }' Makefile

run: setup  ## execute hw1.ipynb from the first cell to the last, write its reports
	$(PYTHON) tools/run.py

# The cells run in pytest's own process: HOME keeps the user's keras.json from them, and
# with more threads the two processes would wait for each other.
test: setup  ## check style, then prove the notebook, the data and the tools
	$(PYTHON) -m ruff check $(OURS)
	$(PYTHON) -m ruff format --check $(OURS)
	HOME="$$PWD/.home" OMP_NUM_THREADS=1 $(PYTHON) -m pytest -n 2 --dist loadfile \
	    --no-loadscope-reorder

# The user's own configuration could open it to everybody, so Jupyter gets another.
# In a container root is the only user.
lab: setup  ## open hw1.ipynb in JupyterLab
	JUPYTER_CONFIG_DIR="$$PWD/.home" JUPYTER_CONFIG_PATH= \
	    $(PYTHON) -m jupyterlab --allow-root hw1.ipynb

html: setup  ## write hw1.html, the notebook as one file for a browser
	$(PYTHON) tools/export_html.py

submission: setup  ## execute it, then write the zip: make submission ANDREW_ID=jdoe
	$(PYTHON) tools/submission.py "$$ANDREW_ID"

derivation:  ## build derivation/derivation.pdf from the LaTeX (needs latexmk)
	@command -v latexmk >/dev/null || { echo "latexmk is missing. On Debian: apt install" \
	    "latexmk texlive-latex-recommended texlive-latex-extra lmodern" >&2; exit 1; }
	rm -rf derivation/build
	@cd derivation; max_print_line=1000 latexmk -norc -pdf -interaction=nonstopmode \
	    -outdir=build derivation >/dev/null 2>&1; \
	! grep -E "^! |^l\.|Warning: |^Overfull |^Missing char" build/derivation.log >&2
	mv derivation/build/derivation.pdf derivation

# The script names its packages, and uv installs them. PyTorch without CUDA lies here:
TORCH := https://download.pytorch.org/whl/cpu/torch/
bench: setup  ## time the levels and their peers (8 minutes, Linux on x86-64)
	$(UV) run --no-config --python $(PYTHON) --script \
	    --find-links '$(or $(UV_FIND_LINKS),$(PIP_FIND_LINKS),$(TORCH))' bench/bench.py

# uv reads pyproject.toml here, and no uv.toml of the user.
lock: setup  ## resolve requirements.txt and tools/requirements.txt anew
	XDG_CONFIG_HOME=/dev/null $(UV) pip compile --quiet --universal --python-version 3.11 \
	    --generate-hashes --custom-compile-command "make lock" \
	    requirements.txt tools/requirements.txt --output-file tools/requirements.lock

clean:  ## remove the environment and the caches
	rm -rf $(STAMP) .venv .venv.* .uv .home .theano .pytest_cache .ruff_cache \
	    .ipynb_checkpoints derivation/build

# .venv is whole or not there: the packages go into a folder .venv.<process>, and it
# gets the name .venv at the end, with a copy of the lock as a mark (that `rm` removes
# first). Of the folders with other names those go whose process has died.
LOCK := tools/requirements.lock
STAMP := .venv/lib/requirements.lock
WHOLE := test -x $(PYTHON) && test "$$(cat $(LOCK))" = "$$(cat $(STAMP) 2>&1)"
SYNC := $(UV) --no-config pip sync --require-hashes $(LOCK) --python
setup: writable $(UV)
	@$(WHOLE) && exit; new=.venv.$$$$; mkdir -p .home; \
	for old in .venv.*; do kill -0 "$${old##*.}" 2>/dev/null || rm -rf "$$old"; done; \
	rm -rf $(STAMP) .venv; \
	$(UV) --quiet --no-config venv --clear --relocatable --python 3.11 $$new && \
	{ $(SYNC) $$new --quiet --offline 2>/dev/null || $(SYNC) $$new; } && \
	cp $(LOCK) $$new/lib && { { $(WHOLE); } || mv $$new .venv; } || { \
	echo "set-up: see above. Check the network and the disk, install Python 3.11 if it" \
	    "is missing (Debian: apt install python3.11-dev), then run make again." >&2; \
	rm -rf $$new; exit 1; }; \
	rm -rf $$new

writable:
	@test -w . || { echo "set-up: this folder belongs to another account, and you may" \
	    "not write to it. Clone or copy it into a folder of your own." >&2; exit 1; }

# uv is a single program: the environment that pip puts it into can go. (It lies in the
# system's folder for such, because its path must not hold a colon.)
$(UV): | writable
	@for python in python3 python3.11; do $$python -c "import ensurepip, sys; \
	    sys.exit(sys.version_info < (3, 8))" 2>/dev/null && break; done || { \
	echo "set-up: neither python3 nor python3.11 is a Python 3.8 or newer with venv." \
	    "Install one (Debian: apt install python3-venv), then run make again." >&2; \
	exit 1; }; \
	echo "set-up: installing uv"; \
	new=$$(mktemp -d); copy=.uv/new.$$$$; mkdir -p .uv; \
	trap 'rm -rf "$$new" $$copy' EXIT; trap "exit 1" HUP INT TERM; \
	$$python -m venv "$$new" && \
	"$$new/bin/python" -m pip install --quiet --disable-pip-version-check --retries 1 \
	    --no-user --target= --only-binary :all: $(subst -,==,$(@F)) && \
	cp "$$new/bin/uv" $$copy && mv $$copy $@ || { \
	echo "set-up: uv cannot be installed from PyPI (see above). Check the network and" \
	    "the disk, then run make again." >&2; exit 1; }
