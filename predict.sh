#!/bin/sh
# Entry point of the container for the NeurIPS 2022 challenge: sh predict.sh [INPUTS [OUTPUTS [OPTIONS...]]]
# OPTIONS are those of python -m infer.
set -eu
case "${1:-}" in
-h | --help)
    cat <<'END'
usage: sh predict.sh [INPUTS [OUTPUTS [OPTIONS...]]]

Segment every image of the folder INPUTS (default /workspace/inputs) and write int16 label files NAME_label.tiff into the
folder OUTPUTS (default /workspace/outputs), named and numbered as the NeurIPS 2022 challenge reads them.
OPTIONS are those of `python -m infer --help`. Example: sh predict.sh in out --diameter 35
END
    exit 0
    ;;
esac
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
