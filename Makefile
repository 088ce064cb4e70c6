# The book in two commands: `make book` builds it, `make test` proves it. `make help` lists more.
SHELL := /bin/sh
.DEFAULT_GOAL := help
.PHONY: help book serve test train execute stamp check repository diff format clean

VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
HTML := _build/html
PORT ?= 8000
NAMES ?=
MODELS ?= multi30k-bahdanau multi30k-fixed
STAGES ?=
# The newest of these that works; or choose: make book PYTHON=/path/to/python3.12
PYTHON ?=

# One thread for each process: results do not depend on the number of cores.
export OMP_NUM_THREADS := 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Modules and kernels that were written elsewhere must not leak in.
unexport PYTHONPATH

help: ## show this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /	/' \
	  | awk -F'\t' '{ printf "  make %-12s %s\n", $$1, $$2 }'

book: $(INSTALLED) _build/.look ## build the book: _build/html/index.html
	@$(BIN)/jupyter-book build . -W -n --keep-going -q || \
	  { rm -rf _build/.doctrees; echo "The book was not built: see the warnings above."; exit 1; }
	@echo "The book is in $(CURDIR)/$(HTML)/index.html"
	@echo "Open that file with a double click, or run \`make serve\`."

# Sphinx rebuilds pages whose text changed; it does not notice a changed style or extension.
_build/.look: _config.yml _toc.yml $(shell find book/assets book/extensions utils/explorers -type f -not -path '*/__pycache__/*')
	@rm -rf _build/html _build/.doctrees && mkdir -p _build && touch $@

serve: book ## build the book and serve it on 127.0.0.1 (PORT=8000)
	@echo "http://127.0.0.1:$(PORT)/ (Ctrl-C stops)"
	@$(BIN)/python -m http.server $(PORT) --bind 127.0.0.1 --directory $(HTML)

test: $(INSTALLED) ## run every test (STAGES="style unit notebooks build browser" for some)
	@$(BIN)/python tests/stages.py $(STAGES)

# Side by side, one thread each. Jobs of a shell ignore Ctrl-C, so it is passed on to them; what
# was trained stays, and `make train` goes on from there.
train: $(INSTALLED) ## train the released models again, side by side (MODELS="multi30k-fixed" for some)
	@for name in $(MODELS); do \
	  $(BIN)/python -m utils train $$name --output book/models/$$name --replace --resume \
	    --progress lines & jobs="$$jobs $$!"; \
	done; \
	trap 'kill $$jobs 2>/dev/null; exit 130' INT TERM; \
	for job in $$jobs; do wait $$job || failed=1; done; exit $${failed:-0}

execute: $(INSTALLED) ## execute all notebooks in place and store their outputs (NAMES="01-rnn" for some)
	@$(BIN)/python -m utils.notebooks execute $(NAMES)

stamp: $(INSTALLED) ## copy book/setup_cell.py into every notebook
	@$(BIN)/python -m utils.notebooks stamp

check: $(INSTALLED) ## check the notebooks against the book's rules (NAMES=… for some)
	@$(BIN)/python -m utils.notebooks check $(NAMES)

repository: $(INSTALLED) ## stamp the public address: make repository URL=https://github.com/owner/name
	@$(BIN)/python -m utils.notebooks repository "$(URL)"

diff: $(INSTALLED) ## show what changed in the notebooks, readably (OUTPUTS=1 with outputs)
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/nbdiff --ignore-metadata --ignore-id \
	  $(if $(OUTPUTS),,--ignore-outputs) HEAD

format: $(INSTALLED) ## format the code as the tests expect it
	@$(BIN)/ruff check --fix -q . ; $(BIN)/ruff format -q .

clean: ## remove what was built; the virtual environment stays
	rm -rf _build .pytest_cache .ruff_cache .hypothesis .import_linter_cache .coverage .coverage.*
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +

$(INSTALLED): requirements.txt
	@command -v git >/dev/null || { \
	  echo "git is missing. Debian, Ubuntu: sudo apt-get install git. macOS: xcode-select --install."; \
	  exit 1; }
	@if ! $(BIN)/python -c "import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))" \
	    2>/dev/null; then \
	  for candidate in $(PYTHON) python3.13 python3.12 python3.11 python3 python; do \
	    if $$candidate -c "import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))" \
	        2>/dev/null; then found=$$candidate; break; fi; \
	  done; \
	  if [ -z "$$found" ]; then \
	    echo "Python 3.11, 3.12 or 3.13 is missing. Debian 12, Ubuntu 24.04: sudo apt-get install"; \
	    echo "python3 python3-venv. macOS: brew install python@3.13. Elsewhere: python.org/downloads."; \
	    exit 1; \
	  fi; \
	  if ! $$found -c "import venv, ensurepip" 2>/dev/null; then \
	    echo "$$found has no venv module. Debian, Ubuntu: sudo apt-get install python3-venv."; \
	    exit 1; \
	  fi; \
	  echo "Making the virtual environment $(VENV) with $$found"; \
	  rm -rf $(VENV) && $$found -m venv $(VENV) || exit 1; \
	fi
	@echo "Installing requirements.txt (the first time this takes minutes)"
	@# Linux without an NVIDIA card: torch's processor-only build saves gigabytes, where it can be had.
	@if [ "$$(uname -s)" = Linux ] && ! command -v nvidia-smi >/dev/null \
	    && ! $(BIN)/python -c "import torch" 2>/dev/null && $(BIN)/python -c \
	    "import urllib.request as r; r.urlopen('https://download.pytorch.org/whl/cpu/torch/', timeout=5)" \
	    2>/dev/null; then \
	  $(BIN)/python -m pip install -q --index-url https://download.pytorch.org/whl/cpu \
	    "$$(grep '^torch==' requirements.txt)" || exit 1; \
	fi
	@$(BIN)/python -m pip install -q -r requirements.txt
	@touch $@
