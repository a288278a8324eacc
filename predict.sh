#!/bin/sh
# Entry point of the container for the NeurIPS 2022 challenge: sh predict.sh [INPUTS [OUTPUTS [OPTIONS...]]]
# OPTIONS are those of python -m infer.
set -eu
home=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
inputs=${1:-/workspace/inputs}
outputs=${2:-/workspace/outputs}
if [ $# -gt 2 ]; then shift 2; else shift $#; fi
python=python
command -v python >/dev/null || python=python3
if [ -x "$home/.venv/bin/python" ]; then python=$home/.venv/bin/python; fi
set -- "$python" -m infer -i "$inputs" -o "$outputs" --ids challenge --gpu-memory 10G "$@"
# When started as root, drop privileges to the owner of the output folder, so that the label files belong to that user.
# If that user cannot read the images or the program, stay root.
if [ "$(id -u)" = 0 ] && user=$(stat -c %u "$outputs" 2>/dev/null) && [ "$user" != 0 ]; then
    group=$(stat -c %g "$outputs")
    if setpriv --reuid "$user" --regid "$group" --clear-groups test -r "$home/infer/cli.py" -a -r "$inputs" -a -x "$inputs" 2>/dev/null
    then set -- setpriv --reuid "$user" --regid "$group" --clear-groups "$@"; fi
fi
PYTHONPATH=$home${PYTHONPATH:+:$PYTHONPATH} PYTHONSAFEPATH=1 exec "$@"
