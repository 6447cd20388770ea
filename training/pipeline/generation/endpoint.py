"""Endpoint: texts for skills from any server that speaks the chat completions protocol."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from training.pipeline.generation.answers import AnswerCache, Tokens, request_key
from training.pipeline.generation.budget import Budget
from training.pipeline.generation.chat_client import ChatClient
from training.pipeline.generation.conversation import Answer, Ask, Question, asks_for, converse, read_answer
from training.pipeline.generation.endpoint_config import EndpointConfig
from training.pipeline.generation.generated_texts import DescribedSkill, Generated, Progress, joined
from training.pipeline.generation.prompts import SYSTEM, Examples
from uwe_core.errors import UweError

# Written out rather than derived from `Texts`: it is part of every request, and a schema that a new version of pydantic
# words differently would make all kept answers answers to other questions.
SCHEMA = {
    "type": "object",
    "properties": {"texts": {"type": "array", "items": {"type": "string"}}},
    "required": ["texts"],
    "additionalProperties": False,
}
_CHARS_PER_TOKEN = 3
_TOKENS_PER_TEXT = 40


class Endpoint:
    """A language model as a source of the stage `generate`.

    Every answer is kept in the file `answers` before the next question is put: a run that was stopped or killed goes
    on from there, and asks again only what was under way.
    """

    def __init__(self, config: EndpointConfig, answers: Path, examples: Examples) -> None:
        self._config = config
        self._answers = answers
        self._asks = asks_for(config.wanted, examples)

    def facts(self) -> Mapping[str, Any]:
        """Model, settings and prompts. Not the address: the same model may be served elsewhere tomorrow."""
        skill = DescribedSkill("uri", "label", "description")
        prompts = [[ask.prompt(skill, ask.wanted, given) for given in ([], ["text"])] for ask in self._asks]
        settings = self._config.model_dump(include={"model", "temperature", "most_rounds", "wanted"})
        return {**settings, "prompts": [SYSTEM, *prompts]}

    def texts_of(self, skills: Sequence[DescribedSkill], progress: Progress) -> Generated:
        """The texts of `skills` in their order; what the model did not give in time is unfinished.

        An error below is raised once the requests under way have ended and their answers are kept.

        Raises:
            BudgetError: the budget would be exceeded.
            EndpointError: a request failed as often as it may.
            ConfigurationError: the server cannot be reached, refuses the key, or refuses the request.
            ArtefactError: the file of answers cannot be used.
        """
        return asyncio.run(self._texts_of(skills, progress))

    async def _texts_of(self, skills: Sequence[DescribedSkill], progress: Progress) -> Generated:
        parts: dict[int, Generated] = {}
        waiting = iter(enumerate(skills))
        with AnswerCache(self._answers) as cache:
            async with ChatClient(self._config) as client:
                questions = _Questions(self._config, cache, client)

                async def work() -> None:
                    for index, skill in waiting:
                        parts[index] = await _ask_about(skill, self._asks, self._config.most_rounds, questions)
                        progress(len(parts), len(skills))

                await questions.run(work, workers=min(self._config.concurrency, len(skills)))
        return joined(parts[index] for index in range(len(skills)))


class _Questions:
    """Questions of a run, answered from the cache or by the server; the first error keeps all others from starting."""

    def __init__(self, config: EndpointConfig, cache: AnswerCache, client: ChatClient) -> None:
        self._config = config
        self._cache = cache
        self._client = client
        self._budget = Budget(config.limits, cache.spent(), cache.largest())
        self._stopped_by: UweError | None = None

    async def run(self, work: Callable[[], Awaitable[None]], workers: int) -> None:
        """Let several workers put questions, one at a time each, and raise what stopped them."""
        async with asyncio.TaskGroup() as group:
            for _ in range(workers):
                group.create_task(self._until_stopped(work))
        if self._stopped_by is not None:
            raise self._stopped_by

    async def put(self, question: Question) -> Answer:
        """The answer to a question."""
        request = _request(self._config, question)
        key = request_key(request, question.round)
        body = self._cache.get(key)
        if body is None:
            guess = Tokens(len(question.prompt) // _CHARS_PER_TOKEN, question.missing * _TOKENS_PER_TEXT)
            body = await self._send(key, request, guess)
        return read_answer(body)

    async def _send(self, key: str, request: Mapping[str, Any], guess: Tokens) -> bytes:
        if self._stopped_by is not None:
            raise self._stopped_by
        reserved = self._budget.reserve(guess)
        body = await self._client.post(request)
        used = read_answer(body).used or guess
        self._budget.settle(reserved, used)
        return self._cache.put(key, body, used)

    async def _until_stopped(self, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except UweError as error:
            self._stopped_by = self._stopped_by or error


async def _ask_about(skill: DescribedSkill, asks: Sequence[Ask], most_rounds: int, questions: _Questions) -> Generated:
    conversation = converse(skill, asks, most_rounds)
    try:
        question = next(conversation)
        while True:
            question = conversation.send(await questions.put(question))
    except StopIteration as end:
        result: Generated = end.value
        return result


def _request(config: EndpointConfig, question: Question) -> dict[str, Any]:
    """The body of a chat completion's request."""
    schema = {"name": "texts", "strict": True, "schema": SCHEMA}
    temperature = {} if config.temperature is None else {"temperature": config.temperature}
    return {
        "model": config.model,
        "messages": [{"role": "system", "content": SYSTEM}, {"role": "user", "content": question.prompt}],
        "response_format": {"type": "json_schema", "json_schema": schema},
        **temperature,
    }
