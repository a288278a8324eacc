#!/bin/sh
# Everything that is to be measured on a GPU, in under eight minutes and without network: sh bench/gpu.sh [OPTIONS]
#
# Needs Python (PYTHON, python3 by default) with PyTorch, onnx, onnxruntime-gpu and what requirements/runtime.in names.
# WHEELS: a folder of wheels, installed for this run alone; pieces of a wheel that was split, NAME.whl.part-aa, -ab ...,
# are put together first. OUT: a folder that gets the record too.
set -eu
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
if [ -n "${WHEELS:-}" ]; then
    site=$(mktemp -d)
    trap 'rm -rf "$site"' EXIT
    for first in "$WHEELS"/*.whl.part-aa; do
        [ -e "$first" ] || continue
        wheel=${first%.part-aa}
        cat "$wheel".part-* >"$site/$(basename "$wheel")"
    done
    cp "$WHEELS"/*.whl "$site" 2>/dev/null || true
    "$python" -m pip install --quiet --no-index --no-deps --no-compile --target "$site/site" "$site"/*.whl
    PYTHONPATH=$site/site${PYTHONPATH:+:$PYTHONPATH}
    export PYTHONPATH
fi
missing=$("$python" - <<'END'
from importlib.util import find_spec
names = ("torch", "onnx", "onnxruntime", "numpy", "numba", "cv2", "tifffile", "imagecodecs", "skimage", "scipy", "psutil")
print(" ".join(name for name in names if find_spec(name) is None))
END
)
if [ -n "$missing" ]; then
    echo "bench/gpu.sh: $python lacks $missing; name another with PYTHON, or a folder of wheels with WHEELS" >&2
    exit 2
fi
code=0
"$python" -m bench.gpu "$@" || code=$?
if [ -n "${OUT:-}" ]; then cp results/gpu.json "$OUT/"; fi
exit "$code"
