"""The service as a process of its own, under settings given by name; this package never imports it."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from training.benchmarks.processes import HOST, free_port, running, wait_until_ready
from uwe_core.backends.choosing import Candidate
from uwe_core.errors import InputError

# A benchmark of ranking must rank: what the service may remember of earlier answers is switched off.
# A service that knows one of these settings obeys it, another ignores the variable.
REMEMBER_NOTHING = {"answer_cache_entries": "0", "embedding_cache_bytes": "0"}


@dataclass(frozen=True)
class ServiceVariant:
    """A name for tables, and settings over the defaults."""

    name: str = "service"
    settings: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, word: str) -> ServiceVariant:
        """`NAME` or `NAME:setting=value,setting=value`.

        Raises:
            InputError: it is not of that form.
        """
        name, _, rest = word.partition(":")
        pairs = [pair.partition("=") for pair in rest.split(",") if pair]
        if not name or any(not key or not equals for key, equals, _ in pairs):
            raise InputError(f"'{word}' is not NAME:setting=value,setting=value")
        return cls(name, {key.strip().lower(): value.strip() for key, _, value in pairs})

    def over(self, **settings: str) -> dict[str, str]:
        """These settings, with the variant's own on top."""
        return {**settings, **self.settings}


@dataclass(frozen=True)
class RunningService:
    """Where it listens, and what it says of itself."""

    url: str
    device: str
    way: Candidate
    threads: int

    @property
    def how(self) -> str:
        """How it computes, in words."""
        return f"{' '.join(self.way)}, {self.threads} threads"


@contextmanager
def running_service(settings: Mapping[str, str], folder: Path) -> Iterator[RunningService]:
    """The service, ready, while the block runs; its log is written to `folder`.

    Raises:
        ConfigurationError: it did not start; its last words say why.
    """
    port = free_port()
    variables = {f"UWE_{key.upper()}": value for key, value in {**settings, "host": HOST, "port": str(port)}.items()}
    program = Path(sys.executable).with_name("uwe-serve")
    with running([program], folder / f"service-{port}.log", variables) as server:
        facts = wait_until_ready(server, f"http://{HOST}:{port}/readyz").json()
        way: Candidate = (facts["backend"], facts["precision"])
        yield RunningService(f"http://{HOST}:{port}", facts["device"], way, facts["threads"])
