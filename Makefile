# make demo, make test: each installs what it needs. Python 3.11 or newer.
PYTHON ?= python3
PIP = bin/python -m pip install --quiet --disable-pip-version-check
DATA ?= ../shared/data

.PHONY: demo quick test lint docs bench trust data train lock clean

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

.venv-docs/.ready: requirements/docs.txt
	$(PYTHON) -m venv .venv-docs
	.venv-docs/$(PIP) -r $<
	touch $@

demo: .venv/.ready
	.venv/bin/python -m bench.demo --output demo

quick: .venv-dev/.ready
	.venv-dev/bin/python -m pytest -m "not slow and not cellpose and not gpu and not container and not torch"

test: .venv/.ready .venv-dev/.ready .venv-cellpose/.ready
	FLOWMASK_LEAN_PYTHON=$(CURDIR)/.venv/bin/python FLOWMASK_CELLPOSE_PYTHON=$(CURDIR)/.venv-cellpose/bin/python \
	    .venv-dev/bin/python -m pytest

# The type checker finds the package by its installed name through a link to its source folder.
lint: .venv-dev/.ready
	.venv-dev/bin/ruff check .
	.venv-dev/bin/ruff format --check .
	mkdir -p .mypy_cache/path
	ln -sfn $(CURDIR)/infer .mypy_cache/path/flowmask
	MYPYPATH=.mypy_cache/path .venv-dev/bin/mypy -p flowmask -p train -p export -p bench
	.venv-dev/bin/hadolint Dockerfile
	.venv-dev/bin/shellcheck predict.sh requirements/lock.sh bench/gpu.sh bench/outside.sh .ci/run

docs: .venv-docs/.ready
	NO_MKDOCS_2_WARNING=1 .venv-docs/bin/mkdocs build --strict

bench: .venv-dev/.ready .venv-cellpose/.ready
	.venv-dev/bin/python -m bench.page

trust: .venv-dev/.ready
	.venv-dev/bin/python -m bench.fuzz
	.venv-dev/bin/python -m bench.broken
	.venv-dev/bin/python -m bench.faults

train: .venv-dev/.ready
	.venv-dev/bin/python -m train.pool checkpoints/pool --each 320
	.venv-dev/bin/python -m train half_rgb --data $(DATA) --pool checkpoints/pool
	.venv-dev/bin/python -m train half_rgb_more --data $(DATA) --pool checkpoints/pool --start checkpoints/half_rgb.pt
	.venv-dev/bin/python -m train long --data $(DATA) --pool checkpoints/pool --start checkpoints/half_rgb_more.pt
	.venv-dev/bin/python -m train wide --data $(DATA) --pool checkpoints/pool --start checkpoints/long.pt
	.venv-dev/bin/python -m train wider --data $(DATA) --pool checkpoints/pool --start checkpoints/wide.pt
	.venv-dev/bin/python -m train further --data $(DATA) --pool checkpoints/pool --start checkpoints/wider.pt
	.venv-dev/bin/python -m train bf16 --data $(DATA) --pool checkpoints/pool --start checkpoints/further.pt
	.venv-dev/bin/python -m train traced --data $(DATA) --pool checkpoints/pool --start checkpoints/bf16.pt
	.venv-dev/bin/python -m train specks --data $(DATA) --pool checkpoints/pool --start checkpoints/traced.pt
	.venv-dev/bin/python -m train jpeg --data $(DATA) --pool checkpoints/pool --start checkpoints/specks.pt
	.venv-dev/bin/python -m train jpeg_long --data $(DATA) --pool checkpoints/pool --start checkpoints/jpeg.pt
	cp checkpoints/jpeg_long.pt models/cyto-small.pt
	.venv-dev/bin/python -m export models/cyto-small.pt -o models/cyto-small.onnx
	.venv-dev/bin/python -m train.widen checkpoints/bf16.pt -o checkpoints/widened.pt
	.venv-dev/bin/python -m train full --data $(DATA) --pool checkpoints/pool --start checkpoints/widened.pt
	.venv-dev/bin/python -m train.soup full checkpoints/widened.pt checkpoints/full.pt --data $(DATA) \
	    --pool checkpoints/pool -o checkpoints/full_mean.pt
	.venv-dev/bin/python -m train full_traced --data $(DATA) --pool checkpoints/pool --start checkpoints/full_mean.pt
	.venv-dev/bin/python -m train full_jpeg --data $(DATA) --pool checkpoints/pool --start checkpoints/full_traced.pt
	.venv-dev/bin/python -m train.soup full_jpeg checkpoints/full_traced.pt checkpoints/full_jpeg.pt --data $(DATA) \
	    --pool checkpoints/pool -o checkpoints/full_jpeg_mean.pt
	.venv-dev/bin/python -m train full_long --data $(DATA) --pool checkpoints/pool --start checkpoints/full_jpeg_mean.pt
	cp checkpoints/full_long.pt models/cyto.pt
	.venv-dev/bin/python -m export models/cyto.pt -o models/cyto.onnx

lock:
	sh requirements/lock.sh

clean:
	rm -rf .venv .venv-dev .venv-cellpose .venv-docs demo results
