#!/bin/sh
# Lock every environment again: sh requirements/lock.sh (needs uv).
set -eu
cd "$(dirname "$0")"
export UV_CUSTOM_COMPILE_COMMAND="sh requirements/lock.sh"
uv pip compile --quiet --python-version 3.11 --generate-hashes gpu.in -o ../requirements.txt
uv pip compile --quiet --python-version 3.11 --generate-hashes cpu.in -o cpu.txt
uv pip compile --quiet --python-version 3.11 --generate-hashes ahead.in -o ahead.txt
for name in napari spatial stardist openvino; do
  uv pip compile --quiet --python-version 3.11 "$name.in" -o "$name.txt"
done
# The CPU build of torch, from where PIP_FIND_LINKS points, is preferred over the one of the index, which pulls CUDA.
# Once its local version is stripped below, the lock holds for both.
for name in dev cellpose cellpose4 instanseg; do
  sed -i 's/^torch==\([0-9.]*\)$/torch==\1+cpu/' "$name.txt"
  uv pip compile --quiet --python-version 3.11 ${PIP_FIND_LINKS:+--find-links "$PIP_FIND_LINKS"} "$name.in" -o "$name.txt"
done
sed -i 's/+cpu//' dev.txt cellpose.txt cellpose4.txt instanseg.txt
