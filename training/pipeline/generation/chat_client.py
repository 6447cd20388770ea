"""ChatClient: one request of the chat completions protocol, its retries, and its failures in our own words."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import openai

from training.pipeline.generation.endpoint_config import EndpointConfig
from uwe_core.errors import ConfigurationError, EndpointError, UweError

_CONNECT_S = 10.0
_AUTHENTICATION = (401, 403)
_PASSING = (408, 409, 429)


class ChatClient:
    """A connection to a server, made by the first request, so that a run without requests needs no server and no key.

    Its errors name the address and never the key, which servers like to repeat.
    """

    def __init__(self, config: EndpointConfig) -> None:
        self._config = config
        self._connecting: asyncio.Task[openai.AsyncOpenAI] | None = None
        self._connection: openai.AsyncOpenAI | None = None

    async def __aenter__(self) -> ChatClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._connection is not None:
            await self._connection.close()

    async def post(self, request: Mapping[str, Any]) -> bytes:
        """The body of the answer; also that of an error by which the server refuses what the prompt is about.

        Raises:
            ConfigurationError: there is no key, or the server cannot be reached, refuses the key or the request.
            EndpointError: the request failed as often as it may.
        """
        client = await self._connected()
        try:
            response = await client.chat.completions.with_raw_response.create(**request)
        except openai.APIStatusError as error:
            if error.status_code == 400 and error.code == "content_filter":
                return error.response.content
            raise self._explained(error) from None
        except openai.APIError as error:
            raise EndpointError(f"{self._config.address}: {error.message} It failed as often as it may") from None
        body: bytes = response.content
        return body

    async def _connected(self) -> openai.AsyncOpenAI:
        """The connection; whoever comes first makes it, and all others share what comes of it, be it an error."""
        if self._connecting is None:
            self._connecting = asyncio.create_task(self._connect())
        return await self._connecting

    async def _connect(self) -> openai.AsyncOpenAI:
        """Find out, before anything is paid for, whether anybody answers at all: a wrong address needs no retries."""
        config = self._config
        timeout = openai.Timeout(config.timeout_s, connect=min(_CONNECT_S, config.timeout_s))
        client = openai.AsyncOpenAI(api_key=config.key(), base_url=config.base_url, timeout=timeout)
        self._connection = client.with_options(max_retries=config.most_http_retries)
        try:
            await client.with_options(max_retries=0).models.with_raw_response.list()
        except openai.APIConnectionError as error:
            raise ConfigurationError(f"{config.address} cannot be reached: {error.message}") from None
        except openai.APIStatusError:
            pass  # not every server lists its models, nor lets every key see them
        return self._connection

    def _explained(self, error: openai.APIStatusError) -> UweError:
        where = f"{self._config.address} answered {error.status_code}"
        if error.status_code in _AUTHENTICATION:
            return ConfigurationError(f"{where}: it does not accept the API key for {self._config.model}")
        said = error.message.replace(self._config.key(), "***")
        if error.status_code in _PASSING or error.status_code >= 500:
            return EndpointError(f"{where} as often as a request may fail: {said}")
        return ConfigurationError(f"{where}: {said}")
