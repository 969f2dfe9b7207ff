#!/bin/sh
# Runs pytest. As root, it changes to the user `tests`, unless that user cannot use the Docker socket.
set -eu

socket=${DOCKER_HOST:-unix:///var/run/docker.sock}
socket=${socket#unix://}

as_user=
if [ "$(id -u)" -eq 0 ]; then
    as_user='setpriv --reuid=tests --regid=tests --clear-groups'
    if [ -S "$socket" ]; then
        # The group that owns the socket has a different number on each machine.
        as_user="setpriv --reuid=tests --regid=tests --groups=$(stat -c %g "$socket")"
        $as_user test -w "$socket" || as_user=
    fi
fi

# Paths in the arguments replace tests/app. If an option is there twice, pytest uses the later one. Any user can write to /tmp.
exec $as_user python -m pytest -n 4 -o testpaths=tests/app -o cache_dir=/tmp/pytest-cache "$@"
