"""Texts from a language model: what is asked again, what it may cost, and that nothing is asked twice."""

from __future__ import annotations

import json
import logging
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from pydantic import SecretStr, ValidationError

from tests.training.pipeline.chat_server import (
    Asked,
    ChatServer,
    Reply,
    chat_server,
    completion,
    failure,
    obedient,
    texts,
)
from training.pipeline.generation.answers import AnswerCache, Tokens, request_key
from training.pipeline.generation.conversation import Texts, Wanted
from training.pipeline.generation.endpoint import SCHEMA, Endpoint
from training.pipeline.generation.endpoint_config import EndpointConfig
from training.pipeline.generation.generate import TEXTS_FILE, UNFINISHED_FILE, generate
from training.pipeline.generation.generated_texts import DescribedSkill
from training.pipeline.generation.prompts import Example, Examples
from training.pipeline.stage import StageManifest
from uwe_core.errors import (
    ArtefactError,
    BudgetError,
    ConfigurationError,
    EndpointError,
    FormatVersionError,
)

ROOT = Path(__file__).parents[3]
KEY = "sk-very-secret"
EXAMPLES: Examples = (
    Example("weld metal", "join metal by heat"),
    Example("Haskell", "lazy programming"),
    Example("show initiative", "act unprompted"),
)
SKILLS = [DescribedSkill(f"u:{number}", f"skill {number}", f"Meaning {number}.") for number in range(6)]
WANTED = Wanted(titles=4, alternatives=3, sentences=2)
ONLY_TITLES = Wanted(titles=4, alternatives=0, sentences=0)
TOKENS_PER_REQUEST = 150


@pytest.fixture
def server() -> Iterator[ChatServer]:
    with chat_server() as running:
        yield running


def no_progress(done: int, total: int) -> None:
    pass


def endpoint(server: ChatServer, folder: Path, **settings: Any) -> Endpoint:
    settings = {"wanted": WANTED, "concurrency": 3, "timeout_s": 5, **settings}
    config = EndpointConfig(base_url=server.base_url, model="m", api_key=SecretStr(KEY), **settings)
    return Endpoint(config, folder / "answers.sqlite", EXAMPLES)


def run(
    server: ChatServer, folder: Path, *, skills: list[DescribedSkill] = SKILLS, out: str = "out", **settings: Any
) -> StageManifest:
    return generate(skills, folder / out, endpoint(server, folder, **settings), no_progress)[0]


def rows(folder: Path, name: str = TEXTS_FILE) -> list[tuple[Any, ...]]:
    return [tuple(row.values()) for row in pq.read_table(folder / "out" / name).to_pylist()]


def test_an_obedient_model_gives_all_texts_in_the_order_of_the_skills(server: ChatServer, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    source = endpoint(server, tmp_path)
    manifest, _ = generate(SKILLS, tmp_path / "out", source, lambda *done: seen.append(done))
    found = [(uri, kind, position) for uri, kind, position, _ in rows(tmp_path)]
    each = [("title", 4), ("alternative", 3), ("sentence", 2)]
    assert found == [(skill.uri, kind, at) for skill in SKILLS for kind, count in each for at in range(count)]
    assert rows(tmp_path, UNFINISHED_FILE) == []
    expected = {"skills": 6, "texts: title": 24, "texts: alternative": 18, "texts: sentence": 12}
    assert +Counter(manifest.counts) == expected
    assert seen == [(done, 6) for done in range(1, 7)]
    assert server.keys == {f"Bearer {KEY}"}
    assert len(server.asked) == 24
    (body,) = (asked.body for asked in server.asked if asked.kind == "alternatives" and asked.label == "skill 0")
    assert all(f"{example.label} -> {example.alternative}" in body["messages"][1]["content"] for example in EXAMPLES)
    assert body["response_format"]["json_schema"]["schema"] == SCHEMA
    assert (body["model"], body["temperature"]) == ("m", 1.0)


def test_a_retry_asks_for_the_missing_number_and_shows_what_is_there(server: ChatServer, tmp_path: Path) -> None:
    rounds = [
        ["Skill 0 Lead", "Nurse", "Ward Nurse", "WARD NURSE", "Skill 0 Nurse"],
        ["ward nurse", "Night Nurse"],
        ["skill 0 porter", "Porter / Days"],
    ]
    server.answer = lambda asked: texts(*rounds[len(server.asked) - 1])
    manifest = run(server, tmp_path, skills=SKILLS[:1], wanted=ONLY_TITLES)
    kept = ["Skill 0 Lead", "Ward Nurse", "Night Nurse", "Porter / Days"]
    assert [text for *_, text in rows(tmp_path)] == kept
    assert [(asked.count, asked.given) for asked in server.asked] == [(4, []), (2, kept[:2]), (1, kept[:3])]
    dropped = {what: count for what, count in manifest.counts.items() if what.startswith("dropped")}
    assert dropped == {"dropped title: one word": 1, "dropped title: duplicate": 2, "dropped title: names the skill": 2}


@pytest.mark.parametrize(
    ("reply", "fault"),
    [
        (completion('{"texts": ["a b"'), "broken JSON"),
        (Reply(b"<html>"), "broken JSON"),
        (completion('{"titles": ["a b"]}'), "wrong schema"),
        (completion('{"texts": [1]}'), "wrong schema"),
        (Reply(b'{"choices": []}'), "wrong schema"),
        (completion(None), "empty"),
        (completion('{"texts": ["a b"]}', finish_reason="length"), "cut off"),
        (completion(None, refusal="I would rather not"), "refused"),
        (completion(None, finish_reason="content_filter"), "refused"),
        (failure(400, "filtered", code="content_filter"), "refused"),
    ],
)
def test_a_useless_answer_is_counted_and_asked_again_within_the_bound(
    reply: Reply, fault: str, server: ChatServer, tmp_path: Path
) -> None:
    server.answer = lambda asked: reply if asked.time < 3 else obedient(asked)
    counts = run(server, tmp_path, skills=SKILLS[:1], wanted=ONLY_TITLES, most_rounds=3).counts
    assert (counts[f"useless answers: {fault}"], counts["texts: title"]) == (2, 4)
    assert len(server.asked) == 3
    server.answer = lambda asked: reply
    counts = run(server, tmp_path, skills=SKILLS[1:2], wanted=ONLY_TITLES, most_rounds=2).counts
    assert rows(tmp_path, UNFINISHED_FILE) == [("u:1", "title", fault, 0)]
    assert counts == {
        "skills": 1,
        "unfinished skills": 1,
        f"unfinished title: {fault}": 1,
        f"useless answers: {fault}": 2,
    }
    assert len(server.asked) == 5


def test_a_skill_with_too_few_texts_keeps_them_and_is_unfinished(server: ChatServer, tmp_path: Path) -> None:
    server.answer = lambda asked: texts("Ward Nurse") if asked.kind == "naming" else obedient(asked)
    run(server, tmp_path, skills=SKILLS[:1], wanted=Wanted(titles=1, alternatives=1, sentences=4), most_rounds=3)
    assert rows(tmp_path, UNFINISHED_FILE) == [("u:0", "sentence", "too few texts", 3)]
    assert [position for _, kind, position, _ in rows(tmp_path) if kind == "sentence"] == [0, 1, 2]
    asked = len(server.asked)
    server.answer = obedient
    run(server, tmp_path, skills=SKILLS[:1], wanted=Wanted(titles=1, alternatives=1, sentences=4), most_rounds=4)
    assert rows(tmp_path, UNFINISHED_FILE) == []
    assert (server.asked[asked].kind, server.asked[asked].given) == ("naming", ["Ward Nurse"])


def test_sentences_that_imply_the_skill_do_not_name_it(server: ChatServer, tmp_path: Path) -> None:
    server.answer = lambda asked: texts(f"You know {asked.label}.", "You do it well.")
    run(server, tmp_path, skills=SKILLS[:1], wanted=Wanted(titles=0, alternatives=0, sentences=2), most_rounds=1)
    assert [text for *_, text in rows(tmp_path)] == ["You know skill 0.", "You do it well."]
    assert rows(tmp_path, UNFINISHED_FILE) == [("u:0", "sentence", "too few texts", 2)]


def test_no_more_requests_are_under_way_than_may_be(server: ChatServer, tmp_path: Path) -> None:
    def slow(asked: Asked) -> Reply:
        time.sleep(0.02)
        return obedient(asked)

    server.answer = slow
    run(server, tmp_path)
    assert server.most_under_way == 3


def test_a_second_run_asks_nothing(server: ChatServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server.answer = lambda asked: completion(None) if asked.time == 1 else obedient(asked)
    first = run(server, tmp_path)
    asked, probes = len(server.asked), server.probes
    assert asked == 48
    monkeypatch.setattr(EndpointConfig, "key", lambda config: pytest.fail("needs no key"))
    second = run(server, tmp_path, out="again", concurrency=1, timeout_s=9)
    assert second == first
    assert generate(SKILLS, tmp_path / "out", endpoint(server, tmp_path), no_progress) == (first, True)
    assert (len(server.asked), server.probes) == (asked, probes)


def test_another_model_temperature_or_prompt_is_another_stage(server: ChatServer, tmp_path: Path) -> None:
    made = [run(server, tmp_path), run(server, tmp_path, temperature=None), run(server, tmp_path, most_rounds=9)]
    assert len({manifest.fingerprint for manifest in made}) == 3
    assert len(server.asked) == 48  # the bound on rounds changes no request
    assert "temperature" not in server.asked[-1].body


_RUN = """
import sys
from pathlib import Path
from tests.training.pipeline.chat_server import ChatServer
from tests.training.pipeline.test_generate import run
server, folder = ChatServer(), Path(sys.argv[2])
server.base_url = sys.argv[1]
run(server, folder)
"""


def test_a_killed_run_goes_on_and_repeats_nothing_that_was_answered(server: ChatServer, tmp_path: Path) -> None:
    def dutiful_or_not(asked: Asked) -> Reply:
        return obedient(asked) if asked.given else texts("One Title", "one title", "Word", "Second Title")

    server.answer = dutiful_or_not
    for name in ("whole", "killed"):
        (tmp_path / name).mkdir()
    whole = run(server, tmp_path / "whole")
    requests = dict(server.answered)
    assert set(requests.values()) == {1}
    server.asked.clear()
    server.answered.clear()

    def stall_after_ten(asked: Asked) -> Reply:
        if len(server.asked) > 10:
            server.wait_until(lambda: server.answer is not stall_after_ten)
            raise ConnectionAbortedError
        return dutiful_or_not(asked)

    server.answer = stall_after_ten
    process = subprocess.Popen([sys.executable, "-c", _RUN, server.base_url, str(tmp_path / "killed")], cwd=ROOT)
    server.wait_until(lambda: server.under_way == 3 and len(server.asked) == 13)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert server.answered.total() == 10
    assert not (tmp_path / "killed/out").exists()

    server.answer = dutiful_or_not
    restarted = run(server, tmp_path / "killed")
    assert restarted == whole
    assert server.answered == requests  # each once, in both runs together
    texts_files = [tmp_path / name / "out" / TEXTS_FILE for name in ("whole", "killed")]
    assert texts_files[0].read_bytes() == texts_files[1].read_bytes()


def test_a_spent_budget_stops_the_run_and_a_larger_one_goes_on(server: ChatServer, tmp_path: Path) -> None:
    allowed = 5 * TOKENS_PER_REQUEST
    with pytest.raises(BudgetError, match=r"of 750 tokens are spent.*all answers are kept"):
        run(server, tmp_path, budget_tokens=allowed, concurrency=2)
    assert 0 < len(server.asked) <= 5
    assert not (tmp_path / "out").exists()
    with AnswerCache(tmp_path / "answers.sqlite") as cache:
        assert cache.spent().total == len(server.asked) * TOKENS_PER_REQUEST
    money: dict[str, Any] = {"price_per_million_input_tokens": 1.0, "price_per_million_output_tokens": 2.0}
    with pytest.raises(BudgetError, match=r"of 0\.0020 are spent"):
        run(server, tmp_path, budget_money=10 * 0.0002, **money)
    assert len(server.asked) <= 10
    run(server, tmp_path, budget_tokens=30 * TOKENS_PER_REQUEST, budget_money=1, **money)
    assert set(server.answered.values()) == {1}
    assert len(server.answered) == 24


def test_settings_that_cannot_work_are_refused_without_repeating_secrets() -> None:
    with pytest.raises(ValidationError, match="needs both prices"):
        EndpointConfig(base_url="http://x", model="m", budget_money=1.0)
    for address in (f"user:{KEY}@host/v1", f"ftp://{KEY}@host", "http://"):
        with pytest.raises(ValidationError, match="is no http or https URL") as caught:
            EndpointConfig(base_url=address, model="m")
        assert KEY not in str(caught.value)


def test_the_schema_that_is_asked_for_is_the_one_that_is_read() -> None:
    def plain(schema: Any) -> Any:
        if isinstance(schema, dict):
            return {key: plain(value) for key, value in schema.items() if key not in ("title", "description")}
        return schema

    assert plain(Texts.model_json_schema()) == SCHEMA


def test_a_busy_server_is_asked_again_after_the_pause_it_names(server: ChatServer, tmp_path: Path) -> None:
    times: list[float] = []

    def busy(asked: Asked) -> Reply:
        times.append(time.monotonic())
        return failure(429, "slow down", {"Retry-After": "1"}) if asked.time == 1 else obedient(asked)

    server.answer = busy
    assert run(server, tmp_path, skills=SKILLS[:1], wanted=ONLY_TITLES).counts["texts: title"] == 4
    assert times[1] - times[0] >= 1


def test_a_server_error_is_passing_until_it_happens_too_often(server: ChatServer, tmp_path: Path) -> None:
    soon = {"Retry-After-Ms": "10"}
    server.answer = lambda asked: failure(500, "oops", soon) if asked.time < 3 else obedient(asked)
    run(server, tmp_path, skills=SKILLS[:1])
    asked = len(server.asked)
    server.answer = lambda asked: (
        failure(503, f"overloaded, {KEY}", soon) if asked.label == "skill 2" else obedient(asked)
    )
    with pytest.raises(EndpointError, match=rf"^{server.base_url} answered 503 .*overloaded, \*\*\*"):
        run(server, tmp_path, most_http_retries=2)
    assert Counter(asked.label for asked in server.asked[asked:])["skill 2"] == 3


def test_a_silent_server_is_an_error_after_its_time(server: ChatServer, tmp_path: Path) -> None:
    released: list[bool] = []

    def silent(asked: Asked) -> Reply:
        server.wait_until(lambda: bool(released))
        return obedient(asked)

    server.answer = silent
    with pytest.raises(EndpointError, match=rf"^{server.base_url}: Request timed out"):
        run(server, tmp_path, timeout_s=0.2, most_http_retries=0)
    released.append(True)
    with server.changed:
        server.changed.notify_all()


@pytest.mark.parametrize(
    ("status", "said"), [(401, "does not accept the API key"), (403, "API key for m"), (404, "no such model")]
)
def test_a_refused_key_or_model_stops_the_run_at_once(
    status: int, said: str, server: ChatServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    server.answer = lambda asked: failure(status, f"no such model: {KEY}")
    with pytest.raises(ConfigurationError, match=said) as caught:
        run(server, tmp_path)
    assert server.base_url in str(caught.value)
    assert KEY not in "".join(traceback.format_exception(caught.value)) + caplog.text + repr(caught.value)
    assert len(server.asked) <= 3


def test_a_server_that_is_not_there_is_named_at_once(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{unused.getsockname()[1]}/v1"
        config = EndpointConfig(base_url=f"http://user:{KEY}@{address}", model="m", api_key=SecretStr(KEY))
        began = time.monotonic()
        with pytest.raises(ConfigurationError, match=f"^http://{address} cannot be reached") as caught:
            generate(SKILLS, tmp_path / "out", Endpoint(config, tmp_path / "a.sqlite", EXAMPLES), no_progress)
    assert time.monotonic() - began < 3
    assert KEY not in "".join(traceback.format_exception(caught.value))


def test_a_server_that_never_answers_is_tried_once_for_all(server: ChatServer, tmp_path: Path) -> None:
    server.probe_s = 0.5
    with pytest.raises(ConfigurationError, match=f"^{server.base_url} cannot be reached: Request timed out"):
        run(server, tmp_path, timeout_s=0.2)
    assert (server.probes, server.asked) == (1, [])


def test_the_key_comes_from_the_environment_where_none_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    config = EndpointConfig(base_url="http://x/v1", model="m")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(ConfigurationError, match="no API key for http://x/v1: set OPENAI_API_KEY"):
        config.key()
    monkeypatch.setenv("OPENAI_API_KEY", f"{KEY}é")
    with pytest.raises(ConfigurationError, match="characters that no key has"):
        config.key()
    monkeypatch.setenv("OPENAI_API_KEY", f"{KEY}\n")
    assert config.key() == KEY
    assert KEY not in repr(EndpointConfig(base_url="http://x", model="m", api_key=SecretStr(KEY)))


def test_the_first_answer_put_under_a_key_is_the_one_that_counts(tmp_path: Path) -> None:
    key = request_key({"b": 1, "a": [2]}, 1)
    assert key == request_key(json.loads('{"a": [2], "b": 1}'), 1) != request_key({"b": 1, "a": [2]}, 2)
    path = tmp_path / "deep/answers.sqlite"
    with AnswerCache(path) as cache, AnswerCache(path) as other:
        assert (cache.get(key), cache.spent(), cache.largest()) == (None, Tokens(), Tokens())
        assert cache.put(key, b"first", Tokens(3, 1)) == b"first"
        assert other.put(key, b"second", Tokens(9, 9)) == b"first"
        other.put("k", b"", Tokens(1, 5))
        assert cache.get("k") == b""
        assert (cache.spent(), cache.largest()) == (Tokens(4, 6), Tokens(3, 5))


def test_a_file_that_holds_no_answers_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "answers.sqlite"
    path.write_bytes(b"not a database" * 100)
    with pytest.raises(ArtefactError, match=r"answers\.sqlite cannot be used"):
        AnswerCache(path)
    with pytest.raises(ArtefactError, match="cannot be used"):
        AnswerCache(tmp_path)
    connection = sqlite3.connect(tmp_path / "newer.sqlite")
    connection.execute("PRAGMA user_version = 2")
    connection.close()
    with pytest.raises(FormatVersionError, match="has format version 2, this is 1"):
        AnswerCache(tmp_path / "newer.sqlite")
