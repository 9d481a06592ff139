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
.PHONY: help install book check links pdf test unit notebooks lab bench student homework lint lock clean

help: ## Show this list
	@printf '\n  Music Classification with Deep Learning\n\n'
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):[^#]*## /  make \1	/' | expand -t 18
	@printf '\n  Another Python: make install PYTHON=python3.12. Size of the runs: MCLASS_PROFILE=smoke|cpu|gpu.\n\n'

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

check: install ## Look at every page of the built book in headless Chromium, with the network cut
	$(BIN)/python book/check.py

links: install ## Build the book and follow its links to other sites
	$(BIN)/python book/build.py --links

pdf: book ## Print the built book into _build/book.pdf (Chromium must be installed)
	$(BIN)/python book/pdf.py

# A file stays on one of two workers (a notebook's cells share a kernel), with one thread: two threads each on two
# cores get in each other's way and take three times as long.
test: unit notebooks ## Unit tests, docstring examples, notebooks

unit: install ## Unit tests and docstring examples only
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile

notebooks: install ## The notebooks only, in the smoke profile
	MCLASS_PROFILE=smoke TQDM_DISABLE=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --nbval-lax --nbval-current-env \
		--nbval-cell-timeout=300 -p no:cacheprovider notebooks

lab: install ## Open the notebooks in JupyterLab
	$(BIN)/jupyter lab notebooks

bench: install ## Measure speed and realism; prints the tables the book shows
	$(BIN)/python -m benchmarks

student: install ## Notebooks for students into student/: blanks and checks instead of solutions
	$(BIN)/python book/student.py

homework: install ## Student notebooks into homework/student, and the proof that they can be graded
	$(BIN)/python -m mclass_grading.release homework/*.ipynb --out homework/student --prove

lint: install ## Ruff: lint and format; who imports whom
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-cache

lock: install ## Compile requirements.txt from pyproject.toml
	$(BIN)/uv pip compile --universal --fork-strategy fewest --python-version 3.11 --all-extras \
		--no-emit-index-url --custom-compile-command "make lock" --upgrade pyproject.toml -o requirements.txt

clean: ## Remove the built book and the environment
	rm -rf _build $(VENV)
