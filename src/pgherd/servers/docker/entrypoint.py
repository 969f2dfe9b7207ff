"""The container's entrypoint: it ends the container when the owner ends.

The container's standard input is its lifeline. docker-py sets `StdinOnce`: the engine
closes the container's standard input as soon as an attached client disconnects. The owner is that
client. When the owner ends, even by `kill -9`, the kernel closes its socket, the engine closes the
standard input, and the script below ends the container. See
`StdinOnce` in https://docs.docker.com/reference/api/engine/.
"""

from __future__ import annotations

HELLO = b"\n"
"""What the owner sends first, to say that it holds the lifeline."""

# The script is process 1 of the container. When it ends, the kernel kills every process of the
# container. Data on a tmpfs needs no orderly shutdown.
# - If the owner dies before it attaches, no hello comes, and the script ends after ten seconds.
# - If the server ends by itself, the script waits 0.2 s, so that the owner can still attach and
#   read the log, which the engine removes with the container.
# - In a shell without job control, background jobs read /dev/null. Hence descriptor 3.
SCRIPT = """\
trap 'exit 0' TERM INT
exec 3<&0
(timeout 10 head -n 1 <&3 && cat <&3; kill -TERM $$) >/dev/null &
docker-entrypoint.sh "$@" 3<&- &
wait $!
ended=$?
sleep 0.2
exit $ended
"""
