# Everything from a fresh machine with Python 3.11+ and make:
#   make course    run every lesson, release and grade the assignments, end with one table
#   make course SIZE=smoke LESSONS="00 03"     a quick pass; a part
#   make test      the tests (TESTS=tests/test_ledger.py for some of them)
#   make site      run what of the lessons has not run, and build the book of them in .build/site/html
#   make bench     every benchmark that has changed since it ran here, and the page docs/benchmarks.md
#   make lab       JupyterLab in this folder
#   make notebooks build notebooks and assignments from their text
#   make lint      what the code checker says
#   make drift-newest   the newest releases of everything, in .build/newest, and the tests that meet them
#   make drift-colab    what an install changes of Colab's packages (LIST=newest: as published today)
#   make links     whether every link leads somewhere
#   make coverage  the tests, and which lines of coursekit they reach
#   make mutants   the share of small errors, made on purpose, that the tests find (SAMPLE=400)
#   make env       only the environment, .venv (every other target makes it when it is missing)
#   make clean     remove what was built, but neither .venv nor a class's work in .build/class
.POSIX:

SIZE = cpu
LESSONS =
TESTS =
LIST = tests/colab_packages.txt
SAMPLE = 400
# The interpreter to build .venv with; the first of these that is 3.11 or newer is taken.
PYTHON = python3
BIN = .venv/bin
BROKEN_OFF = echo "The installation broke off. It needs a network and 7 GB of disk: see to both, and" >&2; \
  echo "give the same command again. If that fails too, delete the folder .venv and repeat." >&2; exit 1

help:
	@sed -n 's/^#   //p' Makefile

env: .venv/made

.venv/made: requirements.txt pyproject.toml
	@new='import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))'; chosen=; \
	for try in $(PYTHON) python3.13 python3.12 python3.11; do \
	  if "$$try" -c "$$new" 2>/dev/null; then chosen=$$try; break; fi; \
	done; \
	if [ -z "$$chosen" ]; then \
	  echo "The course needs Python 3.11 or newer with its venv module" >&2; \
	  echo "($(PYTHON) here is: `$(PYTHON) --version 2>&1`)." >&2; \
	  echo "Install one (on Debian and Ubuntu: python3 and python3-venv)," >&2; \
	  echo "or name it: make PYTHON=/path/to/python3.12 env" >&2; \
	  exit 1; \
	fi; \
	$(BIN)/python -c "$$new" 2>/dev/null || "$$chosen" -m venv --clear .venv
	@test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet --disable-pip-version-check \
	  "`sed -n 's/^\(uv==[^ ;]*\).*/\1/p' requirements.txt`" || { $(BROKEN_OFF); }
	@echo "Installing the environment into .venv (a minute or two the first time) ..."
	@UV_COMPILE_BYTECODE=1 $(BIN)/uv pip install --quiet --python $(BIN)/python \
	  -r requirements.txt -e . || { $(BROKEN_OFF); }
	@touch .venv/made

course: env
	@$(BIN)/coursekit course --size $(SIZE) --lessons "$(LESSONS)"

# What make course has run and has not changed since is not run again
site: env
	@$(BIN)/coursekit course --size $(SIZE) --lessons "0 1"
	@$(BIN)/python site/build.py --size $(SIZE)

# A file's tests stay on one worker, which so makes what they share once.
test: env
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile $(TESTS)

bench: env
	@$(BIN)/python benchmarks/run.py

lab: env
	@PATH="$$PWD/$(BIN):$$PATH" $(BIN)/python -m jupyterlab

notebooks: env
	@$(BIN)/python -m coursekit.notebooks
	@for each in assignments/*/; do $(BIN)/coursekit release $$(basename $$each) || exit 1; done

lint: env
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .

drift-newest: env
	@$(BIN)/python tests/drift.py newest --python "$(PYTHON)"

drift-colab: env
	@$(BIN)/python tests/drift.py colab --list "$(LIST)"

links: env
	@$(BIN)/python tests/links.py

coverage: env
	@mkdir -p .build/coverage
	@$(BIN)/python -m coverage erase
	@code=0; \
	OMP_NUM_THREADS=1 $(BIN)/python -m coverage run -m pytest -n 2 --dist loadfile $(TESTS) || code=$$?; \
	$(BIN)/python -m coverage combine --quiet && $(BIN)/python -m coverage report || code=1; \
	exit $$code

mutants: env
	@$(BIN)/python tests/mutants.py --sample $(SAMPLE)

clean:
	@if [ -d .build ]; then \
	  find .build -mindepth 1 -maxdepth 1 ! -name class -exec rm -rf {} +; \
	fi
	@rm -rf .pytest_cache .ruff_cache
	@find . -name .venv -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: help env course site test bench lab notebooks lint drift-newest drift-colab links coverage mutants clean
