#!/bin/sh
# Lock every environment again: sh requirements/lock.sh (needs uv).
set -eu
cd "$(dirname "$0")"
export UV_CUSTOM_COMPILE_COMMAND="sh requirements/lock.sh"
uv pip compile --quiet --python-version 3.11 --generate-hashes gpu.in -o ../requirements.txt
uv pip compile --quiet --python-version 3.11 --generate-hashes cpu.in -o cpu.txt
for name in dev cellpose; do
  uv pip compile --quiet --python-version 3.11 ${PIP_FIND_LINKS:+--find-links "$PIP_FIND_LINKS"} "$name.in" -o "$name.txt"
done
# A local CPU build of torch names itself 2.13.0+cpu; elsewhere the plain version is what can be had.
sed -i 's/+cpu//' dev.txt cellpose.txt
