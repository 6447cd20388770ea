"""Threads sleep between parallel regions, unless somebody chose otherwise."""

from __future__ import annotations

import subprocess
import sys

import pytest

from uwe_core.waiting import SLEEPING, let_threads_sleep


def test_what_somebody_chose_stays() -> None:
    environment = {"PATH": "/bin"}
    assert let_threads_sleep(environment)
    assert environment == {"PATH": "/bin", **SLEEPING}
    chosen = {"OMP_WAIT_POLICY": "ACTIVE"}
    assert not let_threads_sleep(chosen)
    assert chosen == {"OMP_WAIT_POLICY": "ACTIVE"}


def test_it_is_too_late_once_torch_is_there() -> None:
    with pytest.raises(RuntimeError, match="already"):
        let_threads_sleep()


def test_the_service_imports_no_torch_before_its_threads_are_told() -> None:
    code = "import sys, service.__main__; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
