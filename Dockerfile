# By default the image supports NVIDIA GPUs with driver R580 or newer. For a smaller image without CUDA:
#   docker build --build-arg REQUIREMENTS=requirements/cpu.txt -t flowmask .
ARG BASE=python:3.11-slim-bookworm

FROM ${BASE} AS builder
ARG REQUIREMENTS=requirements.txt
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install -y --no-install-recommends g++ \
 && rm -rf /var/lib/apt/lists/*
COPY ${REQUIREMENTS} /tmp/requirements.txt
COPY requirements/ahead.txt /tmp/ahead.txt
RUN python -m venv --without-pip /opt/venv \
 && python -m pip --python /opt/venv/bin/python install --no-cache-dir --disable-pip-version-check \
    --require-hashes --only-binary :all: -r /tmp/requirements.txt \
 && python -m pip install --target /opt/setuptools --no-cache-dir --disable-pip-version-check \
    --require-hashes --only-binary :all: -r /tmp/ahead.txt \
 && find /opt/venv -type d -name tests -prune -exec rm -r {} +
WORKDIR /opt/flowmask
COPY infer infer
# Compile the kernels now. Then a run does not need Numba. It never needs scikit-image, which only `make demo` uses.
RUN PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=/opt/setuptools /opt/venv/bin/python -m infer.kernels.build \
 && ln -s /workspace/infer "$(/opt/venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/flowmask" \
 && printf '#!/bin/sh\nexec python -m flowmask "$@"\n' > /opt/venv/bin/flowmask \
 && chmod 755 /opt/venv/bin/flowmask \
 && python -m pip --python /opt/venv/bin/python uninstall --yes --disable-pip-version-check \
    numba llvmlite scikit-image scipy networkx imageio pillow lazy-loader \
 && find infer -name __pycache__ -prune -exec rm -r {} +

FROM ${BASE}
ARG VERSION=0.2.0
LABEL org.opencontainers.image.title="Flowmask" \
      org.opencontainers.image.description="Cell instance segmentation with flow networks on ONNX Runtime" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.licenses="BSD-3-Clause"
ENV PATH=/opt/venv/bin:${PATH} \
    PYTHONUNBUFFERED=1 \
    ORT_DISABLE_TELEMETRY=1 \
    XDG_CACHE_HOME=/tmp \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
# Workflow managers such as Nextflow measure a task with ps.
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install -y --no-install-recommends procps \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /workspace
COPY --from=builder /opt/venv /opt/venv
COPY --chmod=755 predict.sh ./
COPY --chmod=755 models models
COPY --from=builder --chmod=755 /opt/flowmask/infer infer
# Segment a small image. This writes the bytecode of all imported modules into the image, for every user.
RUN mkdir -p inputs outputs \
 && python -c "import numpy, tifffile; tifffile.imwrite('/tmp/a.tif', numpy.eye(64, dtype='uint8'))" \
 && python -m infer --device cpu -i /tmp/a.tif -o /tmp/labels \
 && python -m compileall -q infer \
 && rm -r /tmp/a.tif /tmp/labels
ENV PYTHONDONTWRITEBYTECODE=1
# No USER: /workspace/outputs is a folder of the host, and only its owner and root can write to it. predict.sh drops its
# privileges to that owner before it starts Python. `docker run --user "$(id -u)"` works too.
CMD ["sh", "predict.sh"]
