"""Processes end with their block, with all their children, whether they listen to SIGTERM or not."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from training.benchmarks.contestants import WorkerContestant, running_worker
from training.benchmarks.processes import busy_cores, running, wait_until_ready
from training.benchmarks.service_process import ServiceVariant
from uwe_core.errors import ConfigurationError, InputError

DEAF_PARENT = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
print(child.pid, flush=True)
time.sleep(60)
"""


def is_alive(process: int) -> bool:
    stat = Path(f"/proc/{process}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"


def test_a_deaf_process_and_its_child_are_gone_after_the_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.benchmarks.processes._END_SECONDS", 0.2)
    with running([sys.executable, "-c", DEAF_PARENT], tmp_path / "log", {}) as parent:
        while not (tmp_path / "log").read_text().strip():
            parent.require_alive()
            time.sleep(0.01)
        child = int((tmp_path / "log").read_text())
        assert is_alive(child)
    assert parent.process.returncode == -signal.SIGKILL
    deadline = time.monotonic() + 10
    while is_alive(child):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_process_that_ends_says_why_and_an_absent_program_is_named(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "raise SystemExit('no weights here')"]
    with running(command, tmp_path / "log", {}) as process, pytest.raises(ConfigurationError, match="no weights here"):
        wait_until_ready(process, "http://127.0.0.1:9/")
    with (
        pytest.raises(ConfigurationError, match="cannot be started"),
        running([tmp_path / "absent"], tmp_path / "l", {}),
    ):
        pass


def test_settings_of_ours_are_not_passed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UWE_THREADS", "7")
    program = "import os; print({key: value for key, value in os.environ.items() if key.startswith('UWE_')})"
    with running([sys.executable, "-c", program], tmp_path / "log", {"UWE_PORT": "1"}) as process:
        process.process.wait(60)
    assert (tmp_path / "log").read_text().strip() == "{'UWE_PORT': '1'}"


def test_a_worker_answers_lines_and_its_end_is_told(tmp_path: Path) -> None:
    program = """
import json, sys
print(json.dumps({"ready": True}), flush=True)
for line in sys.stdin:
    if json.loads(line) == "end":
        sys.exit("enough")
    print(json.dumps({"seconds": 0.25, "best": [["a", 1.5]]}), flush=True)
"""
    with running_worker([sys.executable, "-c", program], tmp_path / "log", {}) as worker:
        contestant = WorkerContestant("worker", worker, "")
        answer = contestant.ask("nurse")
        assert (answer.seconds, answer.best) == (0.25, [("a", 1.5)])
        with pytest.raises(ConfigurationError, match="enough"):
            contestant.ask("end")


def test_cores_are_busy_only_as_long_as_asked() -> None:
    start = time.monotonic()
    with busy_cores(1, seconds=30):
        pass
    assert time.monotonic() - start < 15


def test_sigterm_runs_the_cleanup_of_the_block() -> None:
    # In a process of its own: a library that other tests load may leave vector state that no signal frame holds.
    program = """
import signal
from training.benchmarks.processes import ended_by_sigterm
before = signal.getsignal(signal.SIGTERM)
try:
    with ended_by_sigterm():
        signal.raise_signal(signal.SIGTERM)
except KeyboardInterrupt:
    print("cleaned up", signal.getsignal(signal.SIGTERM) is before)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "cleaned up True"


def test_a_variant_is_a_name_and_settings() -> None:
    variant = ServiceVariant.parse("one thread:threads=1,precision=float32")
    assert variant == ServiceVariant("one thread", {"threads": "1", "precision": "float32"})
    assert ServiceVariant.parse("service") == ServiceVariant("service", {})
    assert variant.over(threads="2", model="m") == {"threads": "1", "model": "m", "precision": "float32"}
    for word in ("", ":threads=1", "x:threads", "x:=1"):
        with pytest.raises(InputError, match="is not NAME"):
            ServiceVariant.parse(word)
