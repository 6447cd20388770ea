"""Any sequence of changes leaves what the same changes of a dictionary leave."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import torch
from fastapi.testclient import TestClient
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from service.app import create_app
from service.loading import load_ranker
from tests.service.live.conftest import FIXED, contents, finished, patch, put, ranker_of, settings_of
from uwe_core.index_update import index_reusing

_TEXTS = ("nurse", "welder", "bake bread", "a b c", "care for people", "take blood pressure")
_IDS = st.sampled_from("vwxyz")
_TARGETS = st.dictionaries(
    _IDS, st.tuples(st.sampled_from(_TEXTS), st.dictionaries(st.sampled_from(["k", "m"]), st.integers(0, 2)))
)
_NAMES = st.sampled_from(["one", "two"])


def as_json(targets: dict[str, tuple[str, dict[str, int]]]) -> list[dict[str, Any]]:
    return [{"id": name, "text": text, "metadata": metadata} for name, (text, metadata) in targets.items()]


class Spaces(RuleBasedStateMachine):
    """One server; each sequence begins without spaces."""

    client: ClassVar[TestClient]

    @initialize()
    def begin(self) -> None:
        self.expected: dict[str, dict[str, tuple[str, dict[str, int]]]] = {}
        for name in ranker_of(self.client).spaces.keys() & {"one", "two"}:
            finished(self.client, self.client.delete(f"/spaces/{name}"))

    @rule(name=_NAMES, new=_TARGETS.filter(bool))
    def upload(self, name: str, new: dict[str, tuple[str, dict[str, int]]]) -> None:
        put(self.client, name, *as_json(new))
        self.expected[name] = new

    @precondition(lambda self: self.expected)
    @rule(data=st.data(), new=_TARGETS, removed=st.lists(_IDS))
    def change(self, data: Any, new: dict[str, tuple[str, dict[str, int]]], removed: list[str]) -> None:
        name = data.draw(st.sampled_from(sorted(self.expected)))
        gone = [identifier for identifier in removed if identifier not in new]
        left = {key: value for key, value in self.expected[name].items() if key not in gone} | new
        if not left or not (new or gone):
            response = self.client.patch(f"/spaces/{name}", json={"put": as_json(new), "remove": gone})
            assert response.status_code == 422
            return
        patch(self.client, name, put=as_json(new), remove=gone)
        self.expected[name] = left

    @precondition(lambda self: self.expected)
    @rule(data=st.data())
    def remove(self, data: Any) -> None:
        name = data.draw(st.sampled_from(sorted(self.expected)))
        finished(self.client, self.client.delete(f"/spaces/{name}"))
        del self.expected[name]

    @invariant()
    def the_spaces_are_what_they_should_be(self) -> None:
        ranker = ranker_of(self.client)
        assert ranker.spaces.keys() & {"one", "two"} == self.expected.keys()
        for name, targets in self.expected.items():
            live = ranker.spaces[name]
            assert contents(self.client, name) == targets
            assert live.space.ids == list(targets)
            fresh = index_reusing(ranker.model.encoder, live.space, "float32")
            assert torch.equal(fresh.embeddings, live.index.embeddings)
            assert torch.equal(fresh.order, live.index.order)


def test_any_sequence_of_changes(tmp_path: Path, model: str) -> None:
    (tmp_path / "fixed.csv").write_text(FIXED)
    threads = torch.get_num_threads()
    setting = settings_of(tmp_path, model)
    with TestClient(create_app(setting, load_ranker(setting, lambda _: None)), "http://127.0.0.1") as client:
        Spaces.client = client
        run_state_machine_as_test(Spaces, settings=settings(max_examples=5, stateful_step_count=8, deadline=None))
    torch.set_num_threads(threads)
