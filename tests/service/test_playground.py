"""The playground in a real browser, over a real socket."""

from __future__ import annotations

import json
import re
import shlex
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import uvicorn
from fastapi.testclient import TestClient
from playwright.sync_api import Browser, Page, expect, sync_playwright

from service.app import create_app
from service.keys import digest
from service.settings import Settings
from tests.programs import program
from tests.service.conftest import FakeRanker
from tests.service.test_words import TABLE

# Beside what a root user in a closed network needs, nothing: the page must work in a plain browser.
_FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
          "--disable-component-update", "--disable-sync"]  # fmt: skip
KEY = "uwe_" + "k" * 43


@contextmanager
def served(ranker: FakeRanker, **settings: object) -> Iterator[str]:
    """The service on a free port, until the end."""
    app = create_app(Settings(**settings), ranker)  # type: ignore[arg-type]
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, server_header=False))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
        finally:
            server.should_exit = True
            thread.join(timeout=20)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    executable = program("chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=_FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def address(ranker: FakeRanker) -> Iterator[str]:
    with served(ranker) as address:
        yield address


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    """The page, opened; a fault in its scripts, or anything that it loads from elsewhere, fails the test."""
    with browser.new_context() as context:
        page = context.new_page()
        faults: list[str] = []
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
        page.on("request", lambda asked: None if asked.url.startswith(address) else faults.append(asked.url))
        page.goto(address)
        yield page
        assert faults == []


def results(page: Page) -> list[str]:
    return page.locator("#results .text").all_text_contents()


def test_it_ranks_while_one_types(page: Page) -> None:
    page.get_by_label("Your text").press_sequentially("nurse")
    expect(page.locator("#results li")).to_have_count(10)
    assert results(page)[0] == "target 5"  # the fake ranker likes targets whose number is the length of the query
    expect(page.get_by_role("status")).to_have_text(re.compile(r"^10 of 30 in \d+ ms$"))
    page.get_by_label("Your text").fill("nurses")
    expect(page.locator("#results .text").first).to_have_text("target 6")


def test_another_task_ranks_anew_and_shows_confidence(page: Page) -> None:
    page.get_by_label("Your text").fill("nurse")
    expect(page.locator("#results .figure").first).to_have_text("0.50")
    page.get_by_role("radio", name="jobnorm").check()
    expect(page.locator("#results .figure").first).to_have_text("75 %")
    expect(page.locator("#attribution")).to_contain_text("30 targets of sample-jobs")
    expect(page.locator("#attribution")).to_contain_text("by us")


def test_the_example_of_a_task_is_one_press_away(page: Page) -> None:
    page.get_by_role("button", name="Show me an example").click()
    expect(page.get_by_label("Your text")).to_have_value("pharmacy technician")
    expect(page.locator("#results li")).to_have_count(10)


def test_it_works_by_keyboard_alone(page: Page) -> None:
    expect(page.get_by_label("Your text")).to_be_focused()  # from the start
    page.keyboard.type("nurse")
    expect(page.locator("#results .text").first).to_have_text("target 5")  # no more answers to "nurs" come
    expect(page.locator("#results li")).to_have_count(10)
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    selected = page.get_by_role("option", selected=True)
    expect(selected).to_have_attribute("id", "result-1")
    expect(page.get_by_role("listbox")).to_have_attribute("aria-activedescendant", "result-1")
    expect(page.locator("#why-title")).to_have_text("Why “target 4”")
    page.keyboard.press("End")
    expect(selected).to_have_attribute("id", "result-9")
    page.keyboard.press("Escape")
    expect(page.get_by_label("Your text")).to_be_focused()


def test_evidence_is_marked_in_the_text_where_it_stands(page: Page) -> None:
    text = "🙂 é̃l nurse"
    page.get_by_label("Your text").fill(text)
    expect(page.locator("#results li")).to_have_count(10)
    assert page.locator("#marked-text").text_content() == text
    heat = page.locator("#marked-text mark").evaluate_all(
        "marks => marks.map(mark => [mark.textContent, Number(mark.style.getPropertyValue('--heat'))])"
    )
    # Half of the score comes from the first token, the other half from the last one, which is of the last word.
    assert [word for word, share in heat if share == 1.0] == ["🙂", "nurse"]
    assert all(share == 0.0 for word, share in heat if word not in {"🙂", "nurse"})
    expect(page.locator("#heat tbody tr").first.locator("td").first).to_have_text("0.50")


def test_words_are_put_together_as_the_service_does(page: Page) -> None:
    found = page.evaluate(
        """async (table) => {
          const { words } = await import(new URL("playground/evidence.js", document.baseURI));
          const places = (row) => row.tokens.map((place) => ({ start: place?.[0] ?? null, end: place?.[1] ?? null }));
          return table.map((row) => words(row.text, places(row)).map((word) => [word.text, word.tokens]));
        }""",
        TABLE,
    )
    assert found == [row["words"] for row in TABLE]


def test_a_vacancy_gives_skills_with_the_sentences_they_came_from(page: Page, address: str) -> None:
    page.get_by_role("radio", name="skillextract").check()
    text = "Your tasks:\n- You weld. 🙂\n- You bake bread."
    page.get_by_label("Your text").fill(text)
    expect(page.get_by_role("status")).to_have_text(re.compile(r"^\d+ of 30 from \d sentences in \d+ ms$"))
    assert page.locator("#marked-text").text_content() == text
    expect(page.locator("#results .note").first).to_contain_text("You")
    expect(page.locator("#heat")).to_be_hidden()
    page.get_by_text("This request as code").click()
    words = shlex.split((page.locator("#curl").text_content() or "").replace("\\\n", " "))
    assert words[2] == f"{address}extract"
    assert json.loads(words[-1]) == {"text": text, "top_k": 10, "explain": True}
    assert "client.extract(" in (page.locator("#python").text_content() or "")
    page.get_by_label("Your text").fill("You weld.")  # one sentence is ranked
    expect(page.locator("#heat")).to_be_visible()


def test_a_text_is_never_markup(page: Page) -> None:
    text = "<img src=x onerror=alert(1)>"
    page.get_by_label("Your text").fill(text)
    expect(page.locator("#results li")).to_have_count(10)
    assert page.locator("#marked-text").text_content() == text
    assert page.locator("main img").count() == 0


def test_the_request_is_shown_as_code_that_asks_the_same(page: Page, address: str) -> None:
    page.get_by_label("Your text").fill("it's a nurse")
    expect(page.locator("#results li")).to_have_count(10)
    page.get_by_text("This request as code").click()
    words = shlex.split((page.locator("#curl").text_content() or "").replace("\\\n", " "))
    assert words[:3] == ["curl", "-s", f"{address}rank/job2skill"]
    assert json.loads(words[-1]) == {"query": "it's a nurse", "top_k": 10, "explain": True}
    python = page.locator("#python").text_content() or ""
    compile(python, "snippet", "exec")
    assert 'client.rank("job2skill", "it\'s a nurse", top_k=10)' in python


def test_a_question_can_be_sent_as_an_address(page: Page) -> None:
    page.get_by_role("radio", name="skill2job").check()
    page.get_by_label("Your text").fill("drive & park")
    expect(page.locator("#results li")).to_have_count(10)
    other = page.context.new_page()
    other.goto(page.url)
    expect(other.locator("#results .text").first).to_have_text("target 12")
    expect(other.get_by_role("radio", name="skill2job")).to_be_checked()


def test_a_late_answer_does_not_replace_a_newer_one(page: Page, ranker: FakeRanker) -> None:
    ranker.release.clear()
    page.get_by_label("Your text").fill("nurse")
    assert ranker.started.wait(timeout=20)
    page.get_by_label("Your text").fill("nurses")
    page.wait_for_timeout(300)
    ranker.release.set()
    expect(page.locator("#results .text").first).to_have_text("target 6")


def test_what_the_service_refuses_is_said(browser: Browser, ranker: FakeRanker) -> None:
    with served(ranker, max_query_chars=5) as address, browser.new_context() as context:
        page = context.new_page()
        page.goto(address)
        page.get_by_label("Your text").fill("too long")
        expect(page.get_by_role("alert")).to_contain_text("8 characters; a query may have 5")
        page.get_by_label("Your text").fill("short")
        expect(page.get_by_role("alert")).to_be_hidden()
        expect(page.locator("#results li")).to_have_count(10)


def test_a_service_that_is_gone_is_said(browser: Browser, ranker: FakeRanker) -> None:
    with browser.new_context() as context:
        page = context.new_page()
        with served(ranker) as address:
            page.goto(address)
            expect(page.get_by_role("radio")).to_have_count(6)
        page.get_by_label("Your text").fill("nurse")
        expect(page.get_by_role("alert")).to_have_text("The service cannot be reached.")


def test_a_key_opens_it_and_is_stored_nowhere(browser: Browser, ranker: FakeRanker) -> None:
    keys = [{"name": "shop", "sha256": digest(KEY.encode()).hex()}]
    with served(ranker, api_keys=keys) as address, browser.new_context() as context:
        page = context.new_page()
        page.goto(address)
        expect(page.get_by_role("alert")).to_contain_text("a key is needed")
        page.get_by_label("API key").fill(KEY)
        page.get_by_label("API key").blur()
        page.get_by_label("Your text").fill("nurse")
        expect(page.locator("#results li")).to_have_count(10)
        assert KEY not in page.url
        assert KEY not in (page.locator("#curl").text_content() or "")
        assert page.evaluate("localStorage.length + sessionStorage.length + document.cookie.length") == 0


def test_a_phone_in_the_dark(browser: Browser, address: str) -> None:
    phone = {"width": 360, "height": 640}
    with browser.new_context(viewport=phone, is_mobile=True, color_scheme="dark") as context:  # type: ignore[arg-type]
        page = context.new_page()
        page.goto(address)
        page.get_by_label("Your text").fill("a nurse for the night who speaks to patients and theirs")
        expect(page.locator("#results li")).to_have_count(10)
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        ground, ink = (
            page.evaluate(f"getComputedStyle(document.body).{name}") for name in ("backgroundColor", "color")
        )
        assert sum(map(int, re.findall(r"\d+", ground))) < 150
        assert sum(map(int, re.findall(r"\d+", ink))) > 600


def test_the_page_is_open_and_what_it_asks_is_not(ranker: FakeRanker) -> None:
    keys = [{"name": "shop", "sha256": digest(KEY.encode()).hex()}]
    with TestClient(create_app(Settings(api_keys=keys), ranker)) as client:
        answer = client.get("/")
        assert answer.status_code == 200
        policy = answer.headers["Content-Security-Policy"]
        assert "unsafe" not in policy
        assert "http" not in policy
        files = re.findall(r'(?:src|href)="(playground/[^"]+)"', answer.text)
        assert files
        assert {client.get(f"/{file}").status_code for file in files} == {200}
        assert client.get("/tasks").status_code == 401
        assert client.get("/playground/../app.py").status_code in {401, 404}
        assert client.get("/playground/%2e%2e%2fapp.py").status_code == 404
        assert client.get("/playground/__init__.py").status_code == 404


def test_the_page_can_be_off(ranker: FakeRanker) -> None:
    with TestClient(create_app(Settings(playground=False), ranker)) as client:
        assert [client.get(path).status_code for path in ("/", "/playground/app.js")] == [404, 404]
