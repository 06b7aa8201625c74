# `make` alone lists the commands.
PYTHON := .venv/bin/python
UV := .venv/bin/uv
SLOW := tests/test_whole_run.py
# A user's settings for other Pythons, and other Jupyter kernels, stay outside.
unexport JUPYTER_PATH $(filter PYTHON%, $(.VARIABLES))

.PHONY: help run test lab html submission derivation bench lock clean

help:  ## list the commands
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-11s %s\n", $$1, $$2 }' Makefile

run: .venv/done  ## execute hw1.ipynb from the first cell to the last, write its reports
	$(PYTHON) tools/run.py

# Cells run in pytest's process: HOME keeps a user's keras.json from them, and with more
# threads the two processes would wait for each other. The slow one goes first.
test: .venv/done  ## check style, then test the notebook, the data and the tools
	$(PYTHON) -m ruff check
	$(PYTHON) -m ruff format --check
	HOME="$$PWD/.home" OMP_NUM_THREADS=1 $(PYTHON) -m pytest -n 2 --dist loadfile \
	    --no-loadscope-reorder $(SLOW) $(filter-out $(SLOW), $(wildcard tests/test_*.py))

lab: .venv/done  ## open hw1.ipynb in JupyterLab
	$(PYTHON) -m jupyterlab --allow-root hw1.ipynb

html: .venv/done  ## write hw1.html, the notebook as a page
	$(PYTHON) -m nbconvert --to html hw1.ipynb

submission: .venv/done  ## execute it, write the zip: make submission ANDREW_ID=jdoe
	$(PYTHON) tools/submission.py "$$ANDREW_ID"

derivation:  ## build derivation/derivation.pdf from its LaTeX (needs latexmk)
	cd derivation && latexmk -norc -pdf -Werror -silent -outdir=build derivation
	mv derivation/build/derivation.pdf derivation

TORCH := https://download.pytorch.org/whl/cpu/torch/
bench: .venv/done  ## time the levels and their peers (minutes, Linux on x86-64)
	$(UV) run --no-config --python $(PYTHON) --script \
	    --find-links '$(or $(UV_FIND_LINKS),$(PIP_FIND_LINKS),$(TORCH))' bench/bench.py

lock: .venv/done  ## pin all that the two requirements.txt need
	$(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	    requirements.txt tools/requirements.txt --output-file tools/requirements.lock

clean:  ## remove the environment and the caches
	test ! -e .venv/done || mv .venv .venv.new.gone
	rm -rf .venv.new.* .home .theano .pytest_cache .ruff_cache derivation/build

# Each set-up has a folder of its own, which it moves to .venv at the end: so that is
# whole or absent. What killed set-ups leave is removed by `make clean`.
NEW = .venv.new.$(shell echo $$PPID)
.PRECIOUS: .venv/done  # or make removes it when it is stopped
.venv/done: tools/requirements.lock
	@test -e $@ || test ! -e .venv || { echo "make did not make this .venv." \
	    "Move it away or remove it, then run make again." >&2; exit 1; }
	rm -rf $(NEW)
	python3 -m venv $(NEW)/uv
	$(NEW)/uv/bin/python -m pip install --quiet --no-user -c tools/requirements.txt uv
	$(NEW)/uv/bin/uv --no-config venv --quiet --relocatable --python 3.11 $(NEW)/venv
	touch $(NEW)/venv/done
	$(NEW)/uv/bin/uv --no-config pip sync --require-hashes --python $(NEW)/venv $<
	test ! -e .venv || mv .venv $(NEW)/old
	mv $(NEW)/venv .venv
	rm -rf $(NEW)
