# The two commands of the README: `make demo` and `make test`. Each sets up what is missing first.
VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: demo test test-browser test-slow docs tables render format clean

demo: $(INSTALLED)
	$(BIN)/python examples/countries.py

test: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest -n 2 --dist worksteal
	$(MAKE) test-browser

# Skipped where there is no Chromium:
test-browser: $(INSTALLED)
	$(BIN)/pytest -m browser tests/serve/test_browser.py

test-slow: $(INSTALLED)
	$(BIN)/pytest -m "slow and not browser"

# To be read from docs/build/index.html:
docs: $(INSTALLED)
	$(BIN)/sphinx-build -q -W --keep-going -b html docs/source docs/build

# All rows of the benchmarks, or `make tables ONLY=mkgy`; they can be stopped, and go on:
tables: $(INSTALLED)
	$(BIN)/python -W ignore benchmarks/run.py $(ONLY) $(if $(MINUTES),--minutes $(MINUTES))
	$(MAKE) render

render: $(INSTALLED)
	$(BIN)/python -W ignore benchmarks/render.py

format: $(INSTALLED)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

$(INSTALLED): setup.cfg pyproject.toml constraints.txt
	$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[test]"
	touch $@

clean:
	rm -rf $(VENV) docs/build docs/source/generated .mypy_cache .pytest_cache .ruff_cache
