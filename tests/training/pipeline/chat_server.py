"""A server on loopback that speaks the chat completions protocol and misbehaves on demand."""

from __future__ import annotations

import hashlib
import json
import re
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Asked:
    """A request as the server sees it; `time` counts equal requests from 1."""

    body: dict[str, Any]
    time: int

    @property
    def prompt(self) -> str:
        prompt: str = self.body["messages"][-1]["content"]
        return prompt

    @property
    def label(self) -> str:
        return self.prompt.splitlines()[0].removeprefix("Skill: ")

    @property
    def count(self) -> int:
        found = re.search(r"(?:Think of|in|Write) (\d+) ", self.prompt)
        assert found
        return int(found[1])

    @property
    def kind(self) -> str:
        marks = {"titles": "job titles", "alternatives": "other ways", "naming": "by its name", "implying": "not occur"}
        return next(kind for kind, mark in marks.items() if mark in self.prompt)

    @property
    def given(self) -> list[str]:
        _, _, shown = self.prompt.partition("write others:\n")
        return [line.removeprefix("- ") for line in shown.splitlines()]


@dataclass(frozen=True)
class Reply:
    """What goes over the wire."""

    body: bytes
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


def completion(content: str | None, finish_reason: str = "stop", refusal: str | None = None) -> Reply:
    message = {"role": "assistant", "content": content, "refusal": refusal}
    choice = {"index": 0, "message": message, "finish_reason": finish_reason}
    usage = {"prompt_tokens": 100, "completion_tokens": 50, "total_tokens": 150}
    return Reply(json.dumps({"id": "x", "object": "chat.completion", "choices": [choice], "usage": usage}).encode())


def texts(*values: str) -> Reply:
    return completion(json.dumps({"texts": values}))


def failure(status: int, message: str, headers: dict[str, str] | None = None, code: str | None = None) -> Reply:
    return Reply(json.dumps({"error": {"message": message, "code": code}}).encode(), status, headers or {})


def obedient(asked: Asked) -> Reply:
    """As many texts as were asked for, which follow from the request alone."""
    mark = hashlib.sha256(asked.prompt.encode()).hexdigest()[:8]
    return texts(*(f"{asked.kind} {mark} {number}" for number in range(asked.count)))


class ChatServer:
    """What the server was asked, how much of it at once, and how often it answered each request."""

    def __init__(self) -> None:
        self.answer: Callable[[Asked], Reply] = obedient
        self.asked: list[Asked] = []
        self.answered: Counter[str] = Counter()
        self.probes = 0
        self.probe_s = 0.0
        self.under_way = 0
        self.most_under_way = 0
        self.keys: set[str] = set()
        self.base_url = ""
        self.changed = threading.Condition()

    def wait_until(self, condition: Callable[[], bool]) -> None:
        with self.changed:
            assert self.changed.wait_for(condition, timeout=15)

    def reply_to(self, body: dict[str, Any], key: str) -> Reply:
        with self.changed:
            same = sum(earlier.body == body for earlier in self.asked)
            asked = Asked(body, same + 1)
            self.asked.append(asked)
            self.keys.add(key)
            self.under_way += 1
            self.most_under_way = max(self.most_under_way, self.under_way)
            self.changed.notify_all()
        try:
            return self.answer(asked)
        finally:
            with self.changed:
                self.under_way -= 1
                self.changed.notify_all()

    def note_answered(self, body: dict[str, Any]) -> None:
        with self.changed:
            self.answered[json.dumps(body, sort_keys=True)] += 1


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), ConnectionError):  # clients are killed on purpose
            super().handle_error(request, client_address)


@contextmanager
def chat_server() -> Iterator[ChatServer]:
    """A server that runs while the block does."""
    state = ChatServer()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            state.probes += 1
            time.sleep(state.probe_s)
            with suppress(ConnectionError):
                self._send(failure(404, "no list of models"))

        def do_POST(self) -> None:
            assert self.path == "/v1/chat/completions"
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with suppress(ConnectionError):  # the client may be dead by now
                self._send(state.reply_to(body, self.headers["Authorization"]))
                state.note_answered(body)

        def _send(self, reply: Reply) -> None:
            self.send_response(reply.status)
            for name, value in {"Content-Length": str(len(reply.body)), **reply.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(reply.body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name it has
            pass

    server = _Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    state.base_url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    try:
        yield state
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
