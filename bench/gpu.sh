#!/bin/sh
# Everything that is to be measured on a GPU, in under eight minutes and without network: sh bench/gpu.sh [OPTIONS]
#
# Needs Python (PYTHON, python3 by default) with PyTorch, onnx, onnxruntime-gpu and what requirements/runtime.in names.
# WHEELS: a folder of wheels, installed for this run alone; pieces of a wheel that was split, NAME.whl.part-aa, -ab ...,
# are put together first. OUT: a folder that gets the record too. Exit code 1: a part failed; 2: there was no GPU to measure.
# The network is models/cyto-small.pt, nothing else of models/ is needed. CUDA's libraries are best those of PyTorch, not two.
set -eu
begun=$(date +%s)
export CUDA_DEVICE_ORDER=PCI_BUS_ID ORT_DISABLE_TELEMETRY=1
if [ -n "${WHEELS:-}" ]; then WHEELS=$(cd "$WHEELS" && pwd); fi
if [ -n "${OUT:-}" ]; then OUT=$(cd "$OUT" && pwd); fi
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
    if ! ls "$site"/*.whl >/dev/null 2>&1; then
        echo "bench/gpu.sh: $WHEELS holds no wheel and no first piece of one (NAME.whl.part-aa)" >&2
        exit 2
    fi
    "$python" -m pip install --quiet --no-index --no-deps --no-compile --target "$site/site" "$site"/*.whl
    PYTHONPATH=$site/site${PYTHONPATH:+:$PYTHONPATH}
    export PYTHONPATH
fi
# CUDA's libraries may have come with PyTorch, where ONNX Runtime does not look for them.
libraries=$("$python" - <<'END'
from glob import glob
from importlib.util import find_spec
spec = find_spec("nvidia")
roots = spec.submodule_search_locations if spec else []
print(":".join(folder for root in roots for folder in sorted(glob(f"{root}/*/lib"))))
END
)
LD_LIBRARY_PATH=$libraries${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
export LD_LIBRARY_PATH
missing=$("$python" - <<'END'
from importlib import import_module
for name in ("torch", "onnx", "onnxruntime", "numba", "cv2", "tifffile", "imagecodecs", "skimage", "scipy"):
    try:
        import_module(name)
    except ImportError as error:
        print(f"{name} ({error})", end=" ")
END
)
if [ -n "$missing" ]; then
    echo "bench/gpu.sh: $python lacks $missing; name another with PYTHON, or a folder of wheels with WHEELS" >&2
    exit 2
fi
rm -f results/gpu.json
code=0
spent=$(($(date +%s) - begun))
timeout -k 5 $((475 - spent)) "$python" -m bench.speed.gpu --limit $((450 - spent)) "$@" || code=$?
if [ -n "${OUT:-}" ] && [ -e results/gpu.json ]; then cp results/gpu.json "$OUT/"; fi
exit "$code"
