"""The obvious ranker behind LitServe in place of FastAPI alone."""

# no postponed annotations: LitServe reads the type of a request from the signature
import argparse
from typing import Any

import litserve
import torch

from training.benchmarks.peers.program import encoder_of, options_of


class ObviousApi(litserve.LitAPI):  # type: ignore[misc]  # not installed here
    """One worker, one query at a time."""

    def __init__(self, options: argparse.Namespace) -> None:
        super().__init__()
        self.options = options

    def setup(self, device: str) -> None:  # noqa: ARG002 - LitServe's signature
        """Load, in the worker."""
        torch.set_num_threads(self.options.threads)
        self.ranker = encoder_of(self.options)

    def decode_request(self, request: dict[str, Any]) -> tuple[str, int]:
        """Query and number of targets."""
        return request["query"], request["top_k"]

    def predict(self, x: tuple[str, int]) -> list[tuple[int, float]]:
        """Rank."""
        return self.ranker.rank(*x)

    def encode_response(self, output: list[tuple[int, float]]) -> dict[str, Any]:
        """As the obvious service answers."""
        return {"targets": [{**self.options.targets[place], "score": score} for place, score in output]}


if __name__ == "__main__":
    given = options_of()
    litserve.LitServer(ObviousApi(given), accelerator="cpu", workers_per_device=1).run(
        host="127.0.0.1", port=given.port, generate_client_file=False, log_level="warning"
    )
