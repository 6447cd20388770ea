"""EndpointConfig: which language model is asked, how, and for how much."""

from __future__ import annotations

import os
from typing import Self
from urllib.parse import urlsplit, urlunsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from training.pipeline.generation.budget import Limits
from training.pipeline.generation.conversation import Wanted
from uwe_core.errors import ConfigurationError


class EndpointConfig(BaseModel):
    """The settings of an endpoint.

    Attributes:
        base_url: such as `http://localhost:8000/v1`.
        model: by the server's name for it.
        api_key: the environment variable `OPENAI_API_KEY` where None.
        temperature: of sampling; None leaves it to the server, as some models demand.
        concurrency: most requests under way at a time.
        timeout_s: the longest that a server may stay silent.
        most_http_retries: how often a request is repeated after 408, 409, 429, 5xx, a timeout or a lost connection,
            with growing pauses or those that `Retry-After` names.
        most_rounds: how often texts of one kind are asked for before a skill is left unfinished; a later run with a
            larger number asks on where this one gave up.
        budget_tokens: most tokens, of all answers in the file of answers.
        budget_money: most money for them, in the currency of the prices.
        price_per_million_input_tokens: needed with `budget_money`.
        price_per_million_output_tokens: needed with `budget_money`.
        wanted: how many texts each skill should have.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    base_url: str
    model: str
    api_key: SecretStr | None = None
    temperature: float | None = Field(default=1.0, ge=0, le=2)
    concurrency: int = Field(default=16, ge=1)
    timeout_s: float = Field(default=120.0, gt=0)
    most_http_retries: int = Field(default=8, ge=0)
    most_rounds: int = Field(default=5, ge=1)
    budget_tokens: int | None = Field(default=None, ge=0)
    budget_money: float | None = Field(default=None, ge=0)
    price_per_million_input_tokens: float | None = Field(default=None, ge=0)
    price_per_million_output_tokens: float | None = Field(default=None, ge=0)
    wanted: Wanted = Wanted()

    @field_validator("base_url")
    @classmethod
    def _is_url(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("is no http or https URL")
        return value

    @model_validator(mode="after")
    def _prices_are_known(self) -> Self:
        prices = (self.price_per_million_input_tokens, self.price_per_million_output_tokens)
        if self.budget_money is not None and None in prices:
            raise ValueError("budget_money needs both prices per million tokens")
        return self

    @property
    def limits(self) -> Limits:
        """What may be spent."""
        return Limits(
            self.budget_tokens,
            self.budget_money,
            self.price_per_million_input_tokens or 0.0,
            self.price_per_million_output_tokens or 0.0,
        )

    @property
    def address(self) -> str:
        """The base URL without a password that it may hold, for messages."""
        parts = urlsplit(self.base_url)
        return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))

    def key(self) -> str:
        """The API key.

        Raises:
            ConfigurationError: there is none, or it cannot be one.
        """
        key = self.api_key.get_secret_value() if self.api_key else os.environ.get("OPENAI_API_KEY", "")
        key = key.strip()  # files and shells like to add a line's end
        if not (key.isascii() and key.isprintable()):
            raise ConfigurationError(f"the API key for {self.address} holds characters that no key has")
        if not key:
            raise ConfigurationError(
                f"no API key for {self.address}: set OPENAI_API_KEY, to any text where the server asks for none"
            )
        return key
