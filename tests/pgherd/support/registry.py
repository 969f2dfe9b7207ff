"""A registry that has one image, whose layer comes in pieces, or stops coming.

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
import time
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
    """One layer with one file, which no engine has."""

    every: float
    """How many seconds pass between two pieces of the layer."""
    pieces: int
    """How many pieces come; the layer has twenty."""
    breaks: bool = False
    """Whether the connection ends after them, so that the engine tries again."""
    blobs: dict[str, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Make the layer, what describes it, and what lists both."""
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as tar:
            entry = tarfile.TarInfo("random")
            entry.size = 100_000
            tar.addfile(entry, io.BytesIO(secrets.token_bytes(entry.size)))
        self.layer = gzip.compress(packed.getvalue())
        described = {
            "architecture": ARCHITECTURES.get(platform.machine(), platform.machine()),
            "os": "linux",
            "rootfs": {"type": "layers", "diff_ids": [digest(packed.getvalue())]},
        }
        listed = {
            "schemaVersion": 2,
            "mediaType": IMAGE,
            "config": self._add(CONFIG, json.dumps(described).encode()),
            "layers": [self._add(LAYER, self.layer)],
        }
        self.manifest = json.dumps(listed).encode()

    def _add(self, kind: str, blob: bytes) -> dict[str, str | int]:
        self.blobs[digest(blob)] = blob
        return {"mediaType": kind, "size": len(blob), "digest": digest(blob)}

    def sent(self, blob: bytes, ended: threading.Event) -> Iterator[bytes]:
        """Give what is sent of a blob, when it is sent."""
        if blob is not self.layer:
            yield blob
            return
        size = -(-len(blob) // 20)
        for number in range(self.pieces):
            time.sleep(self.every)
            yield blob[number * size : (number + 1) * size]
        if self.pieces * size < len(blob) and not self.breaks:
            ended.wait()


def digest(blob: bytes) -> str:
    """Name a blob as registries do."""
    return f"sha256:{hashlib.sha256(blob).hexdigest()}"


@contextmanager
def serving(image: Image) -> Iterator[str]:
    """Lend the name under which an engine on this machine can pull the image."""
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
                self.close_connection = image.breaks

        do_HEAD = do_GET  # noqa: N815

        def found(self) -> tuple[str, bytes]:
            asked = self.path.rpartition("/")[2]
            if "/manifests/" in self.path:
                return IMAGE, image.manifest
            return "application/octet-stream", image.blobs.get(asked, b"{}")

        def log_message(self, *_: object) -> None:
            pass

    # To an engine, a registry at a loopback address need not speak TLS.
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"127.0.0.1:{server.server_port}/pgherd-test:{secrets.token_hex(4)}"
        finally:
            ended.set()
            server.shutdown()
