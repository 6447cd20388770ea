"""`uwe rank`: queries from everywhere, answers to everywhere, in this process and by a service."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeAlias

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from service.client import Retries, UweClient
from tests.fakes import TINY_LIMIT, save_tiny_model
from tests.training.test_cli import Done, Uwe, uwe  # noqa: F401 - a fixture
from training import rank_cli
from training.ranking.filters import filter_fields
from training.ranking.queries import file_queries
from training.taxonomy import Taxonomy
from uwe_core.errors import DataError, InputError
from uwe_core.files import atomic_file
from uwe_core.model import UweModel
from uwe_core.ranker import RankableSpace, Ranker
from uwe_core.target_space import SpaceInfo, TargetSpace
from uwe_core.tasks import standard_tasks
from uwe_core.token_index import TokenIndex

SKILLS = TargetSpace.from_columns(
    SpaceInfo(name="tiny-skills", kind="skill"),
    {"id": ["s1", "s2", "s3", "s4"], "text": ["weld metal", "bake bread", "care for people", "take blood pressure"]},
)
JOBS = TargetSpace.from_columns(
    SpaceInfo(name="tiny-jobs", kind="job"),
    {"id": ["j1", "j2", "j3"], "text": ["nurse", "welder", "baker"], "isco_group": ["2221", "7212", "7512"]},
)
QUERIES = ["nurse", "welder", "baker, bread", "nurse", "care " * TINY_LIMIT]
Rank: TypeAlias = Callable[..., Done]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("home")
    Taxonomy("tiny", SKILLS, JOBS, []).save(home)
    return home


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model("bert", tmp_path_factory.mktemp("model") / "bert")


@pytest.fixture(scope="module")
def ranker(model: Path) -> Ranker:
    loaded = UweModel.from_pretrained(model, device="cpu")
    spaces = {s.info.name: RankableSpace(loaded, s, TokenIndex.build(loaded.encoder, s)) for s in (SKILLS, JOBS)}
    return Ranker(loaded, spaces, standard_tasks("tiny"))


@pytest.fixture
def rank(uwe: Uwe, home: Path, model: Path) -> Rank:  # noqa: F811
    """Run `uwe rank` over the tiny taxonomy with the tiny model."""
    return lambda *arguments: uwe(home, "rank", "--model", model, "--taxonomy", "tiny", "--device", "cpu", *arguments)


def expected(ranker: Ranker, task: str, queries: list[str], top_k: int | None = None) -> list[tuple[Any, ...]]:
    """Rows of the output, query by query."""
    return [
        (query, target.rank, target.id, target.text, pytest.approx(target.score, rel=1e-5))
        for query in queries
        for target in ranker.rank(task, [query], top_k).rankings[0]
    ]


def rows_of(path: Path) -> list[tuple[Any, ...]]:
    table = pq.read_table(path, columns=["query", "rank", "id", "text", "score"])
    return list(zip(*(table[name].to_pylist() for name in table.column_names), strict=True))


def rows_of_lines(output: str) -> list[tuple[Any, ...]]:
    answers = [json.loads(line) for line in output.splitlines()]
    return [(a["query"], t["rank"], t["id"], t["text"], t["score"]) for a in answers for t in a["targets"]]


def write_queries(folder: Path, kind: str) -> Path:
    path = folder / f"queries.{kind}"
    if kind == "txt":
        path.write_text("\n\n".join(QUERIES) + "\r\n", encoding="utf-8-sig")
    elif kind == "csv":
        with path.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([("number", "query"), *enumerate(QUERIES)])
    else:
        pq.write_table(pa.table({"number": range(len(QUERIES)), "query": QUERIES}), path)
    return path


def test_texts_of_the_command_line_become_tables(rank: Rank, ranker: Ranker) -> None:
    done = rank("job2skill", "nurse", "[bold]welder[/bold]", "--top-k", "2")
    assert done.returncode == 0, done.stderr
    assert "[bold]welder[/bold]" in done.stdout
    for target in ranker.rank("job2skill", ["nurse"], 2).rankings[0]:
        assert f"{target.score:.3f}" in done.stdout
        assert target.text in done.stdout


@pytest.mark.parametrize("kind", ["txt", "csv", "parquet"])
@pytest.mark.parametrize("batch_size", [2, 64])
def test_a_file_of_queries_becomes_a_file_of_rows(
    rank: Rank, ranker: Ranker, kind: str, batch_size: int, tmp_path: Path
) -> None:
    out = tmp_path / "new" / "results.parquet"
    file = write_queries(tmp_path, kind)
    done = rank("job2skill", "--file", file, "--out", out, "--top-k", 3, "--batch-size", batch_size)
    assert done.returncode == 0, done.stderr
    assert rows_of(out) == expected(ranker, "job2skill", QUERIES, 3)
    assert done.stdout == f"{out}: 5 queries, 15 rows\n"
    assert "1 queries were longer than the encoder takes" in done.stderr
    assert ("5/5" in done.stderr) == (batch_size == 2)  # the bar
    assert [path.name for path in out.parent.iterdir()] == [out.name]


def test_lines_of_standard_input_become_lines_of_json(
    rank: Rank, ranker: Ranker, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = io.BytesIO("\n".join(QUERIES).encode())
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=lines, isatty=lambda: False))
    # With colours forced, rich takes standard error for a terminal, and standard output for its own.
    monkeypatch.setenv("FORCE_COLOR", "1")
    done = rank("skill2job", "--json", "--batch-size", 2)
    assert done.returncode == 0, done.stderr
    assert rows_of_lines(done.stdout) == expected(ranker, "skill2job", QUERIES)
    assert [json.loads(line)["truncated"] for line in done.stdout.splitlines()] == [False] * 4 + [True]


def test_only_targets_that_meet_a_filter_are_ranked(rank: Rank) -> None:
    for words, ids in (
        (("isco_group=7*",), {"j2", "j3"}),
        (("isco_group=2221", "isco_group=7212"), {"j1", "j2"}),
        (("isco_group=1111",), set()),
    ):
        done = rank("skill2job", "weld", "--json", *(part for word in words for part in ("--filter", word)))
        assert done.returncode == 0, done.stderr
        assert {row[2] for row in rows_of_lines(done.stdout)} == ids
    done = rank("skill2job", "weld", "--filter", "colour=red")
    assert done.returncode == 1
    assert "no metadata 'colour'; it has isco_group" in done.stderr


def test_filters_are_read_as_a_request_has_them() -> None:
    assert filter_fields(["a=1", "b=x*", "a=2", "c=*"]) == {"a": ["1", "2"], "b": {"prefix": "x"}, "c": ["*"]}
    for words in (["a"], ["=1"], ["a="], ["a=1", "a=2*"], ["a=2*", "a=1"]):
        with pytest.raises(InputError, match="--filter"):
            filter_fields(words)


def test_the_sample_is_there_without_any_import(uwe: Uwe, tmp_path: Path) -> None:  # noqa: F811
    done = uwe(tmp_path, "rank", "jobnorm", "Pharmacy Technician (m/f/d)", "--top-k", "1", "--json", "--device", "cpu")
    assert json.loads(done.stdout)["targets"][0]["text"] == "pharmacy technician", done.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("nonsense", "nurse"), 1, "error: no task 'nonsense'; there are: job2skill"),
        (("job2skill", "nurse", "--taxonomy", "absent"), 1, "error: no target space 'absent-skills'"),
        (("job2skill", "nurse", " "), 1, "error: text 2 is empty"),
        (("job2skill", "nurse", "zzz"), 1, "error: text 1 holds nothing the tokenizer knows"),
        (("job2skill", "--file", "absent.csv"), 1, "error: absent.csv: is not a file"),
        (("job2skill", "nurse", "--file", "absent.csv"), 2, "give texts or --file, not both"),
        (("job2skill", "nurse", "--column", "text"), 2, "--column is for --file"),
        (("job2skill", "nurse", "--json", "--out", "a.parquet"), 2, "give --json or --out, not both"),
        (("job2skill", "nurse", "--out", "a.csv"), 2, "name a file that ends in .parquet"),
        (("job2skill", "nurse", "--server", "http://a"), 2, "leave out --model, --taxonomy"),
    ],
)
def test_what_cannot_be_is_told(rank: Rank, arguments: tuple[str, ...], code: int, message: str) -> None:
    done = rank(*arguments)
    assert (done.returncode, done.stdout) == (code, "")
    assert message in " ".join(done.stderr.replace("│", " ").split())


def test_a_query_that_fails_late_leaves_the_old_file(rank: Rank, tmp_path: Path) -> None:
    file, out = tmp_path / "queries.txt", tmp_path / "results.parquet"
    file.write_text("nurse\nwelder\nbaker\nzzz\n")
    out.write_text("old")
    done = rank("job2skill", "--file", file, "--out", out, "--batch-size", 3)
    assert done.returncode == 1
    assert "error: text 3 holds nothing the tokenizer knows" in done.stderr
    assert out.read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == [file.name, out.name]


@pytest.mark.parametrize(
    ("name", "content", "column", "message"),
    [
        ("a.txt", b"nurse\n\xff\n", None, "a.txt, line 2: is not UTF-8"),
        ("a.txt", b"nurse\na\x00b\n", None, "a.txt, line 2: the query holds NUL"),
        ("a.txt", b"nurse\n", "text", "has no columns"),
        ("a.csv", b"a,b\n1,2\n", None, "which column holds the queries?"),
        ("a.csv", b"a,b\n1,2\n", "c", "has no column c; it has a, b"),
        ("a.csv", b"a,text\n1,nurse\n2\n", None, "line 3: has 1 fields, the header 2"),
        ("a.csv", b'a,text\n1,"two\nlines"\n2,\n', None, "line 4: the query is empty"),
        ("a.csv", b'text\n"open', None, "is not CSV"),
        ("a.csv", b"text\n\xff\n", None, "is not UTF-8"),
        ("a.csv", b"", None, "which column"),
        ("a.parquet", b"nonsense", None, "cannot be read as Parquet"),
        ("a.json", b"[]", None, "queries are read from .txt, .csv, .parquet"),
    ],
)
def test_a_bad_file_is_named_with_its_line(
    name: str, content: bytes, column: str | None, message: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises((DataError, InputError)) as raised:
        file_queries(tmp_path / name, column)
    assert message in str(raised.value)


@pytest.mark.parametrize(("values", "message"), [(["a", None], "line 2: the query is missing"), ([1], "is no text")])
def test_a_parquet_column_of_something_else_is_refused(values: list[Any], message: str, tmp_path: Path) -> None:
    pq.write_table(pa.table({"any": values}), tmp_path / "a.parquet")
    with pytest.raises(DataError, match=message):
        file_queries(tmp_path / "a.parquet", None)


@pytest.mark.parametrize(
    ("header", "column", "chosen"),
    [("only", None, "1"), ("x,text", None, "2"), ("text,query", None, "2"), ("text,query", "text", "1")],
)
def test_the_column_is_the_named_or_the_usual_one(header: str, column: str | None, chosen: str, tmp_path: Path) -> None:
    path = tmp_path / "a.CSV"
    path.write_text(f"{header}\n" + ",".join("12"[: header.count(",") + 1]) + "\n")
    source = file_queries(path, column)
    assert (list(source.read()), list(source.read()), source.total) == ([chosen], [chosen], 1)


def service_of(ranker: Ranker) -> Callable[[httpx.Request], httpx.Response]:
    """What a service over the same model would say."""

    def handle(request: httpx.Request) -> httpx.Response:
        if request.headers.get("Authorization") != "Bearer k":
            return httpx.Response(401, json={"error": {"code": "no_key", "message": "no key", "request_id": "r"}})
        asked = json.loads(request.content)
        answered = ranker.rank(request.url.path.rpartition("/")[2], asked["queries"], asked.get("top_k"))
        cut = {truncation.position for truncation in answered.truncations}
        results = [
            {
                "query": query,
                "targets": [vars(target) for target in targets],
                "truncated": {"tokens": 30, "kept_tokens": TINY_LIMIT} if number in cut else None,
            }
            for number, (query, targets) in enumerate(zip(asked["queries"], answered.rankings, strict=True))
        ]
        named = {"name": "m", "fingerprint": "f"}
        index = {"space": "s", "fingerprint": "g"}
        return httpx.Response(200, json={"task": "t", "model": named, "index": index, "results": results})

    return handle


@pytest.fixture
def through_service(monkeypatch: pytest.MonkeyPatch, ranker: Ranker) -> None:
    @contextmanager
    def client_of(server: str, api_key: str | None) -> Iterator[UweClient]:
        transport = httpx.MockTransport(service_of(ranker))
        with UweClient(server, api_key=api_key, transport=transport, retries=Retries(1)) as client:
            yield client

    monkeypatch.setattr(rank_cli, "client_of", client_of)


@pytest.mark.usefixtures("through_service")
def test_a_service_ranks_instead(uwe: Uwe, home: Path, ranker: Ranker, tmp_path: Path) -> None:  # noqa: F811
    file, out = write_queries(tmp_path, "csv"), tmp_path / "results.parquet"
    arguments = ("rank", "job2skill", "--file", file, "--out", out, "--server", "http://service", "--batch-size", 2)
    refused = uwe(home, *arguments)
    assert (refused.returncode, out.exists()) == (1, False)
    assert "error: no key (401 no_key, request r); positions of texts are counted from query 0" in refused.stderr
    done = uwe(home, *arguments, "--api-key", "k")
    assert done.returncode == 0, done.stderr
    assert rows_of(out) == expected(ranker, "job2skill", QUERIES)
    assert "1 queries were longer than the encoder takes" in done.stderr


def test_a_server_that_is_not_there_is_told(uwe: Uwe, home: Path) -> None:  # noqa: F811
    done = uwe(home, "rank", "job2skill", "nurse", "--server", "localhost:1")
    assert (done.returncode, done.stderr) == (
        1,
        "error: 'localhost:1' is no address such as http://127.0.0.1:8000\n",
    )


def test_a_file_is_whole_or_not_there(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with atomic_file(path) as aside:
        aside.write_text("whole")
        assert not path.exists()
    assert (path.read_text(), path.stat().st_mode & 0o777) == ("whole", 0o644)
    with pytest.raises(UnicodeEncodeError), atomic_file(path) as aside:
        aside.write_text("half of it \ud800")
    assert path.read_text() == "whole"
    assert list(tmp_path.iterdir()) == [path]
