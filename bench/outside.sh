#!/bin/bash
# An engine that measures its containers from outside, to check bench.speed.efficiency with:
#   OUTSIDE=/some/folder python -m bench.speed.efficiency IMAGES --engine bench/outside.sh
# What /usr/bin/time says of each run goes to OUTSIDE/seconds, the memory peak of its cgroup, read inside, to
# OUTSIDE/bytes. ENGINE: podman (the default) or docker.
set -euo pipefail
engine=$(command -v "${ENGINE:-podman}")
if [ "$1 $2" != "container run" ]; then exec "$engine" "$@"; fi
mkdir -p "$OUTSIDE"
chmod 777 "$OUTSIDE"
inside="${*: -1}; rc=\$?; cat /sys/fs/cgroup/memory.peak /sys/fs/cgroup/memory/memory.max_usage_in_bytes"
inside="$inside 2>/dev/null >> /outside/bytes; exit \$rc"
set -- "${@:3:$#-3}" "$inside"
exec /usr/bin/time -a -o "$OUTSIDE/seconds" -f %e "$engine" container run -v "$OUTSIDE:/outside" "$@"
