#!/bin/sh
# Runs pytest, as the user `tests` if that user may use the engine's socket (or there is none), else as who we are.
set -eu

socket=${DOCKER_HOST:-unix:///var/run/docker.sock}
socket=${socket#unix://}

as_user=
if [ "$(id -u)" -eq 0 ]; then
    as_user='setpriv --reuid=tests --regid=tests --clear-groups'
    if [ -S "$socket" ]; then
        # The group that owns the socket has another number on every machine.
        as_user="setpriv --reuid=tests --regid=tests --groups=$(stat -c %g "$socket")"
        $as_user test -w "$socket" || as_user=
    fi
fi

# Paths that are given replace tests/app; of options that are given twice the later one counts. The cache goes where anybody may write.
exec $as_user python -m pytest -n 4 -o testpaths=tests/app -o cache_dir=/tmp/pytest-cache "$@"
