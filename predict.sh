#!/bin/sh
# The challenge's entry point: sh predict.sh [INPUTS [OUTPUTS [OPTIONS...]]]
set -eu
home=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
inputs=${1:-/workspace/inputs}
outputs=${2:-/workspace/outputs}
if [ $# -gt 2 ]; then shift 2; else shift $#; fi
python=python
command -v python >/dev/null || python=python3
if [ -x "$home/.venv/bin/python" ]; then python=$home/.venv/bin/python; fi
PYTHONPATH=$home${PYTHONPATH:+:$PYTHONPATH} PYTHONSAFEPATH=1 exec "$python" -m infer -i "$inputs" -o "$outputs" --ids challenge "$@"
