"""A service without weights: answers at once, stalls once, or sheds; counts what it was asked."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class StubService(ThreadingHTTPServer):
    """Handles one request at a time, as a computing thread does.

    Attributes:
        stall_at: the number of the request that stalls everything, from 0.
        stall_seconds: for how long.
        most_waiting: requests beyond so many are answered 503.
        seconds_each: that every answer takes.
        queries: that were asked, in order.
    """

    daemon_threads = True
    request_queue_size = 256

    def __init__(
        self, stall_at: int = -1, stall_seconds: float = 0.0, most_waiting: int = 10**9, seconds_each: float = 0.0
    ) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.stall_at = stall_at
        self.stall_seconds = stall_seconds
        self.most_waiting = most_waiting
        self.seconds_each = seconds_each
        self.queries: list[str] = []
        self.waiting = 0
        self.turn = threading.Lock()
        self.counting = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def answer(self, body: Any) -> tuple[int, Any]:
        with self.counting:
            if self.waiting >= self.most_waiting:
                return 503, {"error": {"code": "overloaded"}}
            self.waiting += 1
        try:
            with self.turn:
                number = len(self.queries)
                self.queries.append(body["query"])
                time.sleep(self.stall_seconds if number == self.stall_at else self.seconds_each)
        finally:
            with self.counting:
                self.waiting -= 1
        return 200, {"results": [{"targets": [{"id": "a", "score": 2.0}, {"id": "b", "score": 1.0}]}]}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: StubService

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        status, answer = self.server.answer(body)
        content = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *args: Any) -> None:
        """Say nothing."""


@contextmanager
def stub_service(**how: Any) -> Iterator[StubService]:
    with StubService(**how) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
