"""Requests drawn from the API's own description, over a real socket: every answer is one that the description knows."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import torch
import uvicorn
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from service.app import create_app
from service.connection import ServerConfig
from service.loading import load_ranker
from service.settings import Settings
from tests.fakes import save_tiny_model, tiny_tokenizer
from tests.service.live.conftest import settings_of

schemathesis = pytest.importorskip("schemathesis")

_EXAMPLES = 12
_MALFORMED = 1000
_LETTERS = "aeioubcdfghlmnprst"
_CHECKS = (
    "not_a_server_error", "status_code_conformance", "content_type_conformance", "response_schema_conformance",
)  # fmt: skip
_KNOWN = {"task": "jobnorm", "name": "fixed-jobs"}
DESCRIPTION = create_app(Settings()).openapi()
OPERATIONS = [(method, path) for path, methods in DESCRIPTION["paths"].items() for method in methods]
WITH_BODY = [path for path, methods in DESCRIPTION["paths"].items() if "requestBody" in methods.get("post", {})]


class Served:
    """The whole service with a tiny model behind a real server."""

    def __init__(self, address: str, session: requests.Session) -> None:
        self.address = address
        self.session = session
        self.schema = schemathesis.openapi.from_dict(DESCRIPTION)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    home = tmp_path_factory.mktemp("home")
    (home / "fixed.csv").write_text("id,text\n1,nurse\n2,weld metal\n3,bake bread\n")
    model = save_tiny_model("bert", home / "model")
    tiny_tokenizer(_LETTERS).save_pretrained(model)
    knows_letters(model / "tokenizer.json")
    threads = torch.get_num_threads()
    limits = settings_of(home, str(model), max_spaces=10)
    app = create_app(limits, load_ranker(limits, lambda _: None))
    server = uvicorn.Server(ServerConfig(limits, app, port=0, log_config=None))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.005)
    with requests.Session() as session:
        session.trust_env = False
        yield Served(f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}", session)
    server.should_exit = True
    thread.join()
    torch.set_num_threads(threads)


def knows_letters(file: Path) -> None:
    """Cut texts into letters, so that the tiny model knows something of almost every text that is drawn."""
    tokenizer = json.loads(file.read_text())
    tokenizer["pre_tokenizer"] = {"type": "Split", "pattern": {"Regex": "."}, "behavior": "Isolated", "invert": False}
    file.write_text(json.dumps(tokenizer))


def is_meant(response: Any) -> bool:
    """What differs from the description and is meant to.

    - 503 with `Retry-After` to more changes of spaces than may wait: a checker counts it as the server's fault.
    - 400 to a URL longer than `max_header_bytes`: the server answers it before any operation is reached.
    """
    if response.status_code == 503:
        return response.json()["error"]["code"] == "overloaded" and "retry-after" in response.headers
    return response.status_code == 400 and len(response.request.url) > Settings().max_header_bytes


def answers_to(served: Served, method: str, path: str, mode: str) -> Counter[int]:
    """Draw requests, and check each answer; how many had which status."""
    schemathesis.checks.load_all_checks()
    checks = schemathesis.checks.CHECKS.get_by_names(_CHECKS)
    operation = served.schema[path][method.upper()]
    statuses: Counter[int] = Counter()

    @seed(1)
    @settings(
        max_examples=_EXAMPLES, deadline=None, database=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(operation.as_strategy(generation_mode=schemathesis.GenerationMode[mode]))
    def ask(case: Any) -> None:
        if mode == "POSITIVE":  # names that are drawn are of nothing that there is
            case.path_parameters.update({name: _KNOWN[name] for name in case.path_parameters if name in _KNOWN})
        response = case.call(base_url=served.address, session=served.session)
        statuses[response.status_code] += 1
        if not is_meant(response):
            case.validate_response(response, checks=checks)

    ask()
    return statuses


@pytest.mark.filterwarnings("ignore:Do not use the `random` module:hypothesis.errors.HypothesisDeprecationWarning")
@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_every_answer_is_one_that_the_description_knows(method: str, path: str, served: Served) -> None:
    assert answers_to(served, method, path, "POSITIVE")
    if "parameters" in DESCRIPTION["paths"][path][method] or "requestBody" in DESCRIPTION["paths"][path][method]:
        refused = answers_to(served, method, path, "NEGATIVE")
        assert any(status >= 400 for status in refused)


_JSON = json.dumps({"queries": ["nurse", "weld metal"], "top_k": 3}).encode()
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
_FIELDS = st.sampled_from(["query", "queries", "text", "texts", "targets", "documents", "items", "top_k", "filter"])
_MALFORMED_BODIES = st.one_of(
    st.binary(max_size=200),
    st.integers(0, len(_JSON) - 1).map(lambda cut: _JSON[:cut]),
    st.integers(1, 2_000).map(lambda depth: b'{"query": ' + b"[" * depth + b"]" * depth + b"}"),
    st.integers(1, 400).map(lambda digits: b'{"query": "nurse", "top_k": ' + b"9" * digits + b"}"),
    st.tuples(st.integers(0, len(_JSON)), st.binary(min_size=1, max_size=4)).map(
        lambda put: _JSON[: put[0]] + bytes(byte | 0x80 for byte in put[1]) + _JSON[put[0] :]
    ),
    st.dictionaries(_FIELDS, _VALUES, max_size=4).map(lambda body: json.dumps(body).encode()),
    _VALUES.map(lambda value: json.dumps(value).encode()),
)


def test_a_thousand_malformed_bodies_are_refused_in_the_form_of_all_errors(served: Served) -> None:
    """Random bytes, JSON cut off, nested deeply, of wrong types, with huge numbers, and bytes that are no UTF-8."""
    statuses: Counter[int] = Counter()

    @seed(1)
    @settings(max_examples=_MALFORMED, deadline=None, database=None, phases=[Phase.generate])
    @given(st.sampled_from(WITH_BODY), _MALFORMED_BODIES)
    def send(path: str, body: bytes) -> None:
        url = served.address + path.replace("{task}", "jobnorm")
        response = served.session.post(url, data=body, headers={"Content-Type": "application/json"})
        statuses[response.status_code] += 1
        if response.status_code != 200:  # what was drawn may be a request after all
            assert response.status_code in {404, 409, 413, 422}, (path, body, response.text)
            assert response.json()["error"].keys() == {"code", "message", "request_id"}

    send()
    assert sum(statuses.values()) >= _MALFORMED
    assert statuses[422] > _MALFORMED // 2
