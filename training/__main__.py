"""`python -m training`: the same as `uwe`, for programs that start modules."""

from __future__ import annotations

from training.cli import main

if __name__ == "__main__":
    main()
