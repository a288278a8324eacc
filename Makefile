# make demo, make test: each installs what it needs. Python 3.11 or newer.
PYTHON ?= python3
PIP = bin/python -m pip install --quiet --disable-pip-version-check
DATA ?= ../shared/data
ENGINE ?= docker
IMAGES ?= demo

.PHONY: demo quick test lint napari spatial docs bench peers trust data train team efficiency lock clean

.venv/.ready: requirements/cpu.txt pyproject.toml
	$(PYTHON) -m venv .venv
	.venv/$(PIP) -r $<
	.venv/$(PIP) --no-deps -e .
	touch $@

.venv-dev/.ready: requirements/dev.txt pyproject.toml
	$(PYTHON) -m venv .venv-dev
	.venv-dev/$(PIP) -r $<
	.venv-dev/$(PIP) --no-deps -e .
	touch $@

.venv-cellpose/.ready: requirements/cellpose.txt
	$(PYTHON) -m venv .venv-cellpose
	.venv-cellpose/$(PIP) -r $<
	touch $@

# The programs that Flowmask is compared with, and OpenVINO: an environment for each.
PEERS = cellpose4 instanseg openvino stardist
$(PEERS:%=.venv-%/.ready): .venv-%/.ready: requirements/%.txt
	$(PYTHON) -m venv .venv-$*
	.venv-$*/$(PIP) -r $<
	touch $@

.venv-docs/.ready: requirements/docs.txt
	$(PYTHON) -m venv .venv-docs
	.venv-docs/$(PIP) -r $<
	touch $@

.venv-napari/.ready: requirements/napari.txt pyproject.toml plugins/napari/pyproject.toml
	$(PYTHON) -m venv .venv-napari
	.venv-napari/$(PIP) -r $<
	.venv-napari/$(PIP) --no-deps -e . -e plugins/napari
	touch $@

.venv-spatial/.ready: requirements/spatial.txt pyproject.toml
	$(PYTHON) -m venv .venv-spatial
	.venv-spatial/$(PIP) -r $<
	.venv-spatial/$(PIP) --no-deps -e .
	touch $@

demo: .venv/.ready
	.venv/bin/python -m bench.demo --output demo

quick: .venv-dev/.ready
	.venv-dev/bin/python -m pytest -n auto --dist worksteal \
	    -m "not slow and not cellpose and not gpu and not container and not torch"

test: .venv/.ready .venv-dev/.ready .venv-cellpose/.ready
	FLOWMASK_LEAN_PYTHON=$(CURDIR)/.venv/bin/python FLOWMASK_CELLPOSE_PYTHON=$(CURDIR)/.venv-cellpose/bin/python \
	    .venv-dev/bin/python -m pytest

# The type checker finds the package by its installed name through a link to its source folder.
lint: .venv-dev/.ready
	.venv-dev/bin/ruff check .
	.venv-dev/bin/ruff format --check .
	mkdir -p .mypy_cache/path
	ln -sfn $(CURDIR)/infer .mypy_cache/path/flowmask
	MYPYPATH=.mypy_cache/path .venv-dev/bin/mypy -p flowmask -p train -p export -p retrain -p bench
	.venv-dev/bin/hadolint Dockerfile
	.venv-dev/bin/shellcheck predict.sh requirements/lock.sh bench/gpu.sh .ci/run

# The plugin for napari, and Flowmask's files opened in napari. Without a screen it draws into xvfb (Debian: xvfb).
# It starts the training in the environment of `make test`, which has PyTorch.
napari: .venv-napari/.ready .venv-dev/.ready
	QT_QPA_PLATFORM=offscreen FLOWMASK_TRAIN_PYTHON=$(CURDIR)/.venv-dev/bin/python \
	    xvfb-run -a .venv-napari/bin/python -m pytest tests/plugins/test_napari.py tests/outputs/test_programs.py

# Flowmask with spatialdata, sopa and squidpy.
spatial: .venv-spatial/.ready
	.venv-spatial/bin/python -m pytest tests/plugins/test_spatialdata.py

docs: .venv-docs/.ready
	NO_MKDOCS_2_WARNING=1 .venv-docs/bin/mkdocs build --strict

bench: .venv-dev/.ready .venv-cellpose/.ready
	.venv-dev/bin/python -m bench.page --all

peers: .venv-cellpose/.ready $(PEERS:%=.venv-%/.ready)

trust: .venv-dev/.ready
	.venv-dev/bin/python -m bench.trust.fuzz
	.venv-dev/bin/python -m bench.trust.broken
	.venv-dev/bin/python -m bench.trust.faults

# The pool of simulated images that trainings use besides the labelled images of $(DATA).
data: .venv-dev/.ready
	.venv-dev/bin/python -m train.simulate checkpoints/pool --each 160

# The default network: about eleven hours on one core without a GPU. An interrupted run resumes; finished stages are
# skipped. The second half of `large` is models/cyto-small.pt, twelve hours of the recipe cyto_small.
train: data
	.venv-dev/bin/python -m train small --data $(DATA) --pool checkpoints/pool
	cp checkpoints/small.pt models/small.pt
	.venv-dev/bin/python -m export models/small.pt -o models/small.onnx
	.venv-dev/bin/python -m export models/small.pt models/cyto-small.pt -o models/large.onnx

# An entry to the challenge: the image is built, tested and saved. ENGINE=podman works too.
team: .venv-dev/.ready
	$(ENGINE) build -t docker.io/library/flowmask:latest .
	FLOWMASK_IMAGE=docker.io/library/flowmask:latest FLOWMASK_ENGINE=$(ENGINE) \
	    .venv-dev/bin/python -m pytest -m container tests/container
	$(ENGINE) save -o team.tar docker.io/library/flowmask:latest
	gzip -f team.tar
	ls -lh team.tar.gz

# The challenge's table of time and memory for the images of a folder: make efficiency IMAGES=FOLDER
efficiency: .venv-dev/.ready
	.venv-dev/bin/python -m bench.speed.efficiency $(IMAGES) --image flowmask:latest --engine $(ENGINE)

lock:
	sh requirements/lock.sh

clean:
	rm -rf .venv .venv-dev .venv-cellpose .venv-docs .venv-napari .venv-spatial $(PEERS:%=.venv-%) demo results
