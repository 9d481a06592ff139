# The course in a few commands. `make help` lists them; README.md gives the plain commands behind each.
PYTHON ?= python3
VENV   := .venv
ifeq ($(OS),Windows_NT)
BIN    := $(VENV)/Scripts
else
BIN    := $(VENV)/bin
endif
STAMP  := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help install book test lab bench lint lock clean

help: ## Show this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):[^#]*## /  make \1	/' | expand -t 18

install: $(STAMP) ## Create .venv with the exact versions of requirements.txt

$(STAMP): requirements.txt pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, this is " + sys.version)'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --requirement requirements.txt
	$(BIN)/python -m pip install --no-deps --editable .
	@touch $@

book: install ## Execute every notebook and build the HTML book
	$(BIN)/python book/build.py

test: install ## Unit tests, docstring examples, notebooks
	$(BIN)/python -m pytest
	MCLASS_PROFILE=smoke $(BIN)/python -m pytest --nbval-lax --nbval-cell-timeout=300 -p no:cacheprovider notebooks

lab: install ## Open the notebooks in JupyterLab
	$(BIN)/jupyter lab notebooks

bench: install ## Measure speed and realism; prints the tables the book shows
	$(BIN)/python -m benchmarks

lint: install ## Ruff: lint and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

lock: install ## Compile requirements.txt from pyproject.toml
	$(BIN)/uv pip compile --universal --fork-strategy fewest --python-version 3.11 --all-extras \
		--no-emit-index-url --custom-compile-command "make lock" --upgrade pyproject.toml -o requirements.txt

clean: ## Remove the built book and the environment
	rm -rf _build $(VENV)
