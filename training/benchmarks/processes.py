"""Processes that a benchmark starts: on 127.0.0.1, with a log, and gone when their block ends whatever happens."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import IO

import httpx

from uwe_core.errors import ConfigurationError

HOST = "127.0.0.1"
START_SECONDS = 300.0
_END_SECONDS = 10.0
_LOG_LINES_SHOWN = 3
# Nothing that is measured may fetch weights or send word of itself.
_ALONE = {
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
    "INFINITY_ANONYMOUS_USAGE_STATS": "0",
    "TOKENIZERS_PARALLELISM": "false",
}


@dataclass(frozen=True)
class RunningProcess:
    """A process and where its log is."""

    process: subprocess.Popen[str]
    log: Path

    def last_words(self) -> str:
        """The end of its log, on one line."""
        lines = [line.strip() for line in self.log.read_text(errors="replace").splitlines() if line.strip()]
        return " | ".join(lines[-_LOG_LINES_SHOWN:]) or "it said nothing"

    def require_alive(self) -> None:
        """Say why it is gone.

        Raises:
            ConfigurationError: it has ended.
        """
        if self.process.poll() is not None:
            raise ConfigurationError(f"ended with status {self.process.returncode}: {self.last_words()}")


@contextmanager
def running(
    command: Sequence[str | Path], log: Path, variables: Mapping[str, str], *, lines: bool = False
) -> Iterator[RunningProcess]:
    """Run a command while the block runs; then SIGTERM, and SIGKILL to it and all its children.

    Args:
        command: program and arguments.
        log: takes what it prints, or only its errors where it is spoken with.
        variables: over this process's environment, of which no `UWE_` variable is passed on.
        lines: connect its standard input and output.

    Raises:
        ConfigurationError: there is no such program.
    """
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("UWE_")}
    pipe = subprocess.PIPE if lines else None
    with log.open("w") as file:
        try:
            process = subprocess.Popen(  # noqa: S603 - the commands are ours
                command, env=inherited | _ALONE | dict(variables), stdin=pipe or subprocess.DEVNULL,
                stdout=pipe or file, stderr=file, text=True, start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            raise ConfigurationError(f"cannot be started: {error}") from error
    try:
        yield RunningProcess(process, log)
    finally:
        _end(process)


@contextmanager
def busy_cores(count: int, seconds: float) -> Iterator[None]:
    """So many processes that do nothing but compute, while the block runs and never longer than `seconds`."""
    program = f"import time\nend = time.monotonic() + {seconds}\nwhile time.monotonic() < end: pass"
    processes = [
        subprocess.Popen([sys.executable, "-c", program], start_new_session=True)  # noqa: S603
        for _ in range(count)
    ]
    try:
        yield
    finally:
        for process in processes:
            _end(process)


@contextmanager
def ended_by_sigterm() -> Iterator[None]:
    """SIGTERM ends the block as Ctrl-C does, so that what it started is cleaned up."""

    def interrupt(_: int, __: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        return int(listener.getsockname()[1])


def wait_until_ready(server: RunningProcess, url: str, seconds: float = START_SECONDS) -> httpx.Response:
    """The first answer of `url` with status 200.

    Raises:
        ConfigurationError: the process ended, or time is over.
    """
    deadline = time.monotonic() + seconds
    with httpx.Client(timeout=5, trust_env=False) as client:
        while time.monotonic() < deadline:
            server.require_alive()
            with suppress(httpx.TransportError):
                response = client.get(url)
                if response.status_code == 200:
                    return response
            time.sleep(0.1)
    raise ConfigurationError(f"not ready after {seconds:g} seconds: {server.last_words()}")


def _end(process: subprocess.Popen[str] | subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(_END_SECONDS)
    with suppress(ProcessLookupError):  # children that outlived it, or itself
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    for stream in (process.stdin, process.stdout):
        _close(stream)


def _close(stream: IO[str] | IO[bytes] | None) -> None:
    if stream is not None:
        with suppress(BrokenPipeError):
            stream.close()
