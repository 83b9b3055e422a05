# Everything is set up from a fresh clone by the first `make demo` or `make test`; a second run skips what is done.
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: help demo test test-all test-peers peers browser lint format wheel clean

help:
	@echo "make demo      train LeNet-5 on handwritten digits, compile it, run it, take it apart"
	@echo "make test      lint, types, tests, and the wheel in a clean environment"
	@echo "make test-all  the same with the slow sweeps"
	@echo "make test-peers  the costs against the tools whose conventions they follow"
	@echo "make peers     the race against other tools, two hours; ARGS=--quick: five minutes"
	@echo "make format    let ruff format and fix"
	@echo "make clean     remove what the above made"

demo: $(INSTALLED)
	@$(BIN)/cnnc demo

# One thread a worker: pools of threads on the same cores would wait for each other.
test: lint $(INSTALLED) browser
	OMP_NUM_THREADS=1 $(BIN)/pytest -n auto -m "not slow and not peers" --durations=10
	$(BIN)/python tools/check_wheel.py

test-all: lint $(INSTALLED) browser
	OMP_NUM_THREADS=1 $(BIN)/pytest -n auto -m "not peers" --durations=20
	$(BIN)/python tools/check_wheel.py

# Costs as fvcore, ptflops, torchinfo, thop and PyTorch's own counter have them, against the tools themselves.
# Portable artifacts in OpenVINO.
test-peers: $(INSTALLED)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[race]'
	OMP_NUM_THREADS=1 $(BIN)/pytest -n auto -m peers --durations=10

# The race against the peers, on a quiet machine: docs/peers.md.
peers: $(INSTALLED)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[race]'
	$(BIN)/python tools/peers.py $(ARGS)

# The pages of `cnnc analyze --html` are tested in a real one.
browser:
	@tools/install_browser.sh

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(INSTALLED)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# torch alone and pinned first: asked for among others, a resolver may pick another build.
$(INSTALLED): pyproject.toml constraints.txt
	@for p in $(PYTHON) python3 python3.13 python3.12 python3.11; do \
	  $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && exec $$p -m venv $(VENV); \
	done; echo "Python 3.11 or newer is needed (make PYTHON=/path/to/python3)" >&2; exit 1
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $$(grep '^torch==' constraints.txt)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

clean:
	rm -rf $(VENV) .venv-wheel build dist demo *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
