# The default is for NVIDIA GPUs with driver R580 or newer. For a smaller image without CUDA:
#   docker build --build-arg REQUIREMENTS=requirements/cpu.txt -t flowmask .
ARG BASE=python:3.11-slim-bookworm

FROM ${BASE} AS packages
ARG REQUIREMENTS=requirements.txt
COPY ${REQUIREMENTS} /tmp/requirements.txt
RUN python -m venv --without-pip /opt/venv \
 && python -m pip --python /opt/venv/bin/python install --no-cache-dir --disable-pip-version-check \
    --require-hashes --only-binary :all: -r /tmp/requirements.txt \
 && find /opt/venv -type d -name tests -prune -exec rm -r {} +

FROM ${BASE}
ARG VERSION=0.1.0
LABEL org.opencontainers.image.title="Flowmask" \
      org.opencontainers.image.description="Cell instance segmentation with flow networks on ONNX Runtime" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.licenses="BSD-3-Clause"
# Code compiled by Numba is kept under the name of the CPU that it is for: `generic` code runs, and is found again,
# on any x86-64. Where the cache cannot be written (--read-only), Numba needs another place: XDG_CACHE_HOME.
ENV PATH=/opt/venv/bin:${PATH} \
    PYTHONUNBUFFERED=1 \
    ORT_DISABLE_TELEMETRY=1 \
    NUMBA_CACHE_DIR=/opt/numba-cache \
    NUMBA_CPU_NAME=generic \
    XDG_CACHE_HOME=/tmp \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
WORKDIR /workspace
COPY --from=packages /opt/venv /opt/venv
COPY --chmod=755 predict.sh ./
COPY --chmod=755 models models
COPY --chmod=755 infer infer
# One small image, so that Numba's code and the bytecode of all that is imported are in the image for any user.
RUN mkdir -p inputs outputs \
 && python -c "import numpy, tifffile; tifffile.imwrite('/tmp/a.tif', numpy.eye(64, dtype='uint8'))" \
 && python -m infer --device cpu -i /tmp/a.tif -o /tmp/labels \
 && chmod -R a+rwX "${NUMBA_CACHE_DIR}" \
 && rm -r /tmp/a.tif /tmp/labels
ENV PYTHONDONTWRITEBYTECODE=1
# No USER: /workspace/outputs is a folder of the host, which only its owner and root can write. predict.sh gives way to
# that owner before it does anything else; `--user "$(id -u)"` works too.
CMD ["sh", "predict.sh"]
