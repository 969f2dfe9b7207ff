"""What ties the server's life to the owner's: the kernel cuts it when the owner dies.

What needs no server of ours to end, the clones on a server that we were given, is tied to a lock:
see `presence`.

A container's lifeline is its standard input. The engine was told that one client may attach
(`StdinOnce`), the owner is that client, and when the owner dies, however it dies, the kernel
closes its socket, the engine closes the container's standard input, and the script below ends the
container. See `StdinOnce` in https://docs.docker.com/reference/api/engine/.
"""

from __future__ import annotations

HELLO = b"\n"
"""What the owner sends first: it is there, and holds on."""

# Process 1 of the container. That it ends is enough: the kernel then kills whatever else runs in
# the container, and data on a tmpfs needs no orderly shutdown.
# - An owner that died before it could attach never says hello: ten seconds, then the end.
# - A server that ends by itself is given 0.2 s before the container is gone, and its log with it:
#   time for the owner to attach and read why.
# - Jobs in the background of a shell without job control read /dev/null, hence descriptor 3.
CONTAINER_SCRIPT = """\
trap 'exit 0' TERM INT
exec 3<&0
(timeout 10 head -n 1 <&3 && cat <&3; kill -TERM $$) >/dev/null &
docker-entrypoint.sh "$@" 3<&- &
wait $!
ended=$?
sleep 0.2
exit $ended
"""
