# `make demo` and `make test` set up what they need in .venv; nothing is installed outside it
# but, for the tests and only as root, a few named Debian packages.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
export OMP_NUM_THREADS ?= 1

.PHONY: demo test lint bench chaos clean

demo: $(VENV)/.device-installed
	$(BIN)/edge-asd run --demo

test: $(VENV)/.test-installed
	sh tests/debian_packages.sh
	$(BIN)/python -m pytest -n 2 --dist loadgroup $(ARGS)

lint: $(VENV)/.test-installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/.test-installed
	$(BIN)/python -m benchmarks.pipeline

# Faults injected for real: benchmarks/RESILIENCE.md. ONLY=fault repeats one; half an hour of both cores in all.
chaos: $(VENV)/.test-installed
	sh tests/debian_packages.sh
	$(BIN)/python -m benchmarks.chaos $(if $(ONLY),--only $(ONLY)) $(ARGS)

$(BIN)/python:
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
	  echo "python3 cannot make a virtual environment: apt install python3-venv" >&2; exit 69; }

$(VENV)/.device-installed: setup.cfg setup.py constraints.txt $(wildcard edge_asd/native/*.c) | $(BIN)/python
	@echo "Setting up .venv with the device packages (numpy, onnxruntime, ...)" >&2
	$(PIP) -e .
	@touch $@

$(VENV)/.test-installed: setup.cfg setup.py constraints.txt $(wildcard edge_asd/native/*.c) | $(BIN)/python
	@echo "Setting up .venv with the device packages and those of the tests (torch, librosa, ...)" >&2
	$(PIP) -e ".[test]"
	@touch $@ $(VENV)/.device-installed

clean:
	rm -rf $(VENV) *.egg-info build dist
