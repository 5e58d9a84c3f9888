"""`fewgan report --serve`: the page of a run that is being trained, for this machine alone.

It listens on 127.0.0.1, answers GET and HEAD below an address with a random token, and reads files, nothing else. The
Host header is checked, so that a web page elsewhere cannot reach it by a name that it points to this machine.
"""

from __future__ import annotations

import hmac
import secrets
import sys
import threading
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fewgan.commands.report import page, record
from fewgan.plugin import FewganError, UsageError

if TYPE_CHECKING:
    from fewgan.plugin import Screen

ADDRESS = "127.0.0.1"
MOST = 16  # requests at once
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


class Server(ThreadingHTTPServer):
    """Serves the page of `paths` below `/<token>/`."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, paths: list[Path], port: int) -> None:
        self.paths, self.token = paths, secrets.token_urlsafe(16)
        self._page: tuple[str, bytes] | None = None
        self._making, self._free = threading.Lock(), threading.Semaphore(MOST)
        super().__init__((ADDRESS, port), Handler)

    @property
    def address(self) -> str:
        return f"http://{ADDRESS}:{self.server_port}/{self.token}/"

    def state(self) -> str:
        return "|".join(record.state(path) for path in self.paths)

    def page(self) -> bytes:
        """The page as the files are now; made anew only where they have changed."""
        with self._making:
            state = self.state()
            if self._page is None or self._page[0] != state:
                self._page = state, page.make(self.paths, state=state, live=True).encode("utf-8")
            return self._page[1]

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._free.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A reader that goes away is no error worth a word."""


class Handler(BaseHTTPRequestHandler):
    server: Server
    timeout = 10  # seconds that a reader may take for its request
    server_version, sys_version = "fewgan", ""

    def do_GET(self) -> None:
        hosts = {f"{name}:{self.server.server_port}" for name in (ADDRESS, "localhost")}
        if self.headers.get("Host", "") not in hosts:
            return self._answer(HTTPStatus.FORBIDDEN, b"This server answers to its own address alone.\n")
        asked, page_path = self.path.partition("?")[0].encode("utf-8", "replace"), f"/{self.server.token}/".encode()
        if hmac.compare_digest(asked, page_path + b"state"):
            return self._answer(HTTPStatus.OK, self.server.state().encode("utf-8"))
        if not hmac.compare_digest(asked, page_path):
            return self._answer(HTTPStatus.NOT_FOUND, b"Not found.\n")
        try:
            content = self.server.page()
        except FewganError as error:
            return self._answer(HTTPStatus.SERVICE_UNAVAILABLE, f"{error}\n".encode("utf-8", "replace"))
        return self._answer(HTTPStatus.OK, content, "text/html; charset=utf-8")

    do_HEAD = do_GET

    def _answer(self, status: HTTPStatus, content: bytes, kind: str = "text/plain; charset=utf-8") -> None:
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(content)), **HEADERS}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, *arguments: object) -> None:
        """Requests are not told: the address holds the token."""


def serve(paths: list[Path], port: int | None, screen: Screen) -> None:
    """Serves until Ctrl-C. Raises UsageError where a folder is no run, or where the port is taken."""
    try:
        server = Server(paths, port or 0)
    except OSError as error:
        raise UsageError(f"--port {port}: cannot be used ({error.strerror or error}); choose another") from None
    with server:
        server.page()
        with suppress(OSError, ValueError):
            sys.stdout.write(server.address + "\n")
            sys.stdout.flush()
        screen.note("Serving this machine alone; Ctrl-C ends it.")
        try:
            server.serve_forever(poll_interval=0.2)
        except KeyboardInterrupt:
            screen.note("Stopped.")
