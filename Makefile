# The book in a few commands. `make help` lists them.
PROFILE ?= laptop
VENV := .venv
RUN := PATH="$(CURDIR)/$(VENV)/bin:$$PATH"
DISK_GB := 6

.DEFAULT_GOAL := help
.PHONY: help setup book site test rehearse lint lab bench lock clean

help:  ## list these commands
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' Makefile

book: setup  ## run every notebook on PROFILE (laptop) and build the site
	@$(RUN) python -m s1lib run --profile $(PROFILE) --site

test: setup  ## run all tests, the whole smoke book among them
	@$(RUN) python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

rehearse: setup  ## run all chapters of the cluster profiles, small, on this machine
	@$(RUN) python -m pytest -s -m rehearsal tests/test_rehearsal.py

lint: setup  ## style and types
	@$(RUN) ruff check .
	@$(RUN) ruff format --check .
	@$(RUN) mypy s1lib

lab: setup  ## open the notebooks in JupyterLab
	@JUPYTER_PREFER_ENV_PATH=1 PYTHONWARNINGS="ignore:IProgress not found" $(RUN) jupyter lab

bench: setup  ## measure speed against other libraries
	@$(RUN) python tests/benchmarks

clean:  ## delete the environment and the built site; results stay
	rm -rf $(VENV) jupyter_book/_build build dist ./*.egg-info

# The environment is made once, and again when one of these files, or the folder, is another.
MADE_FROM = { echo $(CURDIR); cat requirements.lock pyproject.toml; }

setup:  ## make the environment in .venv
	@$(MADE_FROM) | cmp -s - $(VENV)/made-from || $(MAKE) --no-print-directory environment

.PHONY: environment
environment:
	@set -e; \
	for python in $(PYTHON) python3.11 python3.12 python3.13 python3; do \
		$$python -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null && break; \
		python=; \
	done; \
	test "$$python" || { echo "make: Python 3.11, 3.12 or 3.13 is needed: install one, or name it with PYTHON=/path/to/python"; exit 1; }; \
	free=$$(df -Pk . | awk 'NR == 2 { print int($$4 / 1048576) }'); \
	test -d $(VENV) || test $$free -ge $(DISK_GB) || { echo "make: $(DISK_GB) GB of free disk are needed here, $$free GB are left: free some space"; exit 1; }; \
	grep -qsxF "$(CURDIR)" $(VENV)/made-from || $$python -m venv --clear $(VENV) || { echo "make: $$python cannot make environments: install its venv module (Debian: apt install python3-venv)"; exit 1; }; \
	echo "setting up $(VENV) (once, a few minutes)"; \
	pip="$(VENV)/bin/python -m pip install -qq --disable-pip-version-check"; \
	$$pip --only-binary :all: $$(grep '^torch==' requirements.lock); \
	$$pip -r requirements.lock; \
	PYTHONWARNINGS=ignore $$pip --no-deps --no-build-isolation -e .; \
	$(MADE_FROM) > $(VENV)/made-from

lock:  ## write requirements.lock from what .venv holds now
	@{ sed -n '/^[^a-z]/p' requirements.lock; \
	$(VENV)/bin/python -m pip freeze --all --exclude-editable --exclude pip --exclude s1lib \
	| grep -v -i -E '^(nvidia-|triton|cuda-)' | sed -E 's/\+(cpu|cu[0-9]+)$$//'; } > requirements.new
	@mv requirements.new requirements.lock
