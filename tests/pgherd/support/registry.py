"""A registry with one image, whose layer it sends in pieces, or does not finish.

The protocol: https://distribution.github.io/distribution/spec/api/
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import platform
import secrets
import tarfile
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

IMAGE = "application/vnd.docker.distribution.manifest.v2+json"
CONFIG = "application/vnd.docker.container.image.v1+json"
LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "arm64": "arm64"}


@dataclass
class Image:
    """An image with a random layer, so that no engine has it already."""

    every: float
    """The time between two pieces of the layer, in seconds."""
    pieces: int
    """How many pieces the registry sends, of twenty."""
    breaks: bool = False
    """Whether the registry then closes the connection, so that the engine tries again."""
    blobs: dict[str, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Create the layer, its configuration, and the manifest that lists both."""
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as tar:
            entry = tarfile.TarInfo("random")
            entry.size = 100_000
            tar.addfile(entry, io.BytesIO(secrets.token_bytes(entry.size)))
        self.layer = gzip.compress(packed.getvalue())
        config = {
            "architecture": ARCHITECTURES.get(platform.machine(), platform.machine()),
            "os": "linux",
            "rootfs": {"type": "layers", "diff_ids": [digest(packed.getvalue())]},
        }
        manifest = {
            "schemaVersion": 2,
            "mediaType": IMAGE,
            "config": self._add(CONFIG, json.dumps(config).encode()),
            "layers": [self._add(LAYER, self.layer)],
        }
        self.manifest = json.dumps(manifest).encode()

    def _add(self, kind: str, blob: bytes) -> dict[str, str | int]:
        self.blobs[digest(blob)] = blob
        return {"mediaType": kind, "size": len(blob), "digest": digest(blob)}

    def sent(self, blob: bytes, ended: threading.Event) -> Iterator[bytes]:
        """Yield the pieces of a blob, each when it is time to send it."""
        if blob is not self.layer:
            yield blob
            return
        size = -(-len(blob) // 20)
        for number in range(self.pieces):
            if ended.wait(self.every):
                return
            yield blob[number * size : (number + 1) * size]
        if self.pieces * size < len(blob) and not self.breaks:
            ended.wait()


def digest(blob: bytes) -> str:
    """Return the digest by which a registry names a blob."""
    return f"sha256:{hashlib.sha256(blob).hexdigest()}"


@contextmanager
def serving(image: Image) -> Iterator[str]:
    """Run the registry, and yield the name by which an engine on this machine pulls the image."""
    ended = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            kind, blob = self.found()
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(blob)))
            self.send_header("Docker-Content-Digest", digest(blob))
            self.end_headers()
            if self.command == "GET":
                for piece in image.sent(blob, ended):
                    self.wfile.write(piece)
                self.close_connection = image.breaks or ended.is_set()

        do_HEAD = do_GET  # noqa: N815

        def found(self) -> tuple[str, bytes]:
            name = self.path.rpartition("/")[2]
            if "/manifests/" in self.path:
                return IMAGE, image.manifest
            return "application/octet-stream", image.blobs.get(name, b"{}")

        def log_message(self, *_: object) -> None:
            pass

    # An engine does not require TLS of a registry at a loopback address.
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"127.0.0.1:{server.server_port}/pgherd-test:{secrets.token_hex(4)}"
        finally:
            ended.set()
            server.shutdown()
