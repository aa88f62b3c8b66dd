PYTHON ?= python3
VENV := .venv/bin
# Without --no-compile, pip compiles every module of every package, which takes a third of the time. Python does so for those it imports.
INSTALL := pip install --quiet --disable-pip-version-check --no-compile --editable

.PHONY: train results remedies test test-gpu-path gpu-check lint clean

train: .venv/.done  ## train a DCGAN on Fashion-MNIST, or go on with the run that is there
	$(VENV)/python examples/dcgan.py --graph $(if $(wildcard runs/dcgan/checkpoint.safetensors),--resume)

results: .venv/.done  ## train and judge every example, or go on with those that are not finished, and write examples/results/README.md
	$(VENV)/python examples/results/make_results.py

remedies: .venv/.done  ## train the DCGAN with and without each remedy for few images, and write examples/results/remedies.md
	$(VENV)/python examples/results/make_remedies.py

test: .venv/.dev
	$(VENV)/python -m pytest -n auto --maxprocesses 4 --dist loadfile

test-gpu-path: .venv-gpu/.done  ## what needs a GPU, on a stand-in for CuPy and in Numba's CUDA simulator
	.venv-gpu/bin/python -m pytest -p tests.stand_in -m gpu -n auto --maxprocesses 4 --dist loadfile

# One visit to a GPU: all that needs one, into one report. EXTRA=gpu-cuda12 for drivers of CUDA 12; PyTorch 2.11 and later are for CUDA 13.
gpu-check: EXTRA = gpu
gpu-check:
	$(PYTHON) -m venv .venv-gpu-check
	.venv-gpu-check/bin/python -m $(INSTALL) '.[dev,bench,$(EXTRA)]' $(if $(filter gpu-cuda12,$(EXTRA)),'torch<2.11')
	sh .ci/gpu-check .venv-gpu-check/bin/python gpu-report.txt

lint: .venv/.dev
	$(VENV)/ruff check
	$(VENV)/ruff format --check
	$(VENV)/mypy

.venv/.done: pyproject.toml
	@echo "making the virtual environment .venv with tinygen (once, half a minute or so)"
	$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else "tinygen needs Python 3.11 or later, this is " + sys.version)'
	$(PYTHON) -m venv .venv
	$(VENV)/python -m $(INSTALL) '.[testing]'
	touch $@

.venv/.dev: .venv/.done
	@echo "adding the tools that develop tinygen (once, half a minute or so)"
	$(VENV)/python -m $(INSTALL) '.[dev]'
	touch $@

.venv-gpu/.done: pyproject.toml
	@echo "making the virtual environment .venv-gpu with CuPy and CUDA's compilers (once, a minute or two)"
	$(PYTHON) -m venv .venv-gpu
	.venv-gpu/bin/python -m $(INSTALL) '.[dev,gpu-check]'
	touch $@

clean:
	rm -rf .venv .venv-gpu .venv-gpu-check .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find tinygen kernels examples tests -name __pycache__ -prune -exec rm -rf {} +
