"""`uwe-serve` and `python -m service`: threads are told how to wait before torch is there to make them."""

from __future__ import annotations

from uwe_core.waiting import let_threads_sleep


def main() -> None:
    """Run `uwe-serve`."""
    let_threads_sleep()
    from service.cli import main as serve  # noqa: PLC0415 - brings torch

    serve()


if __name__ == "__main__":
    main()
