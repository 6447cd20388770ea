"""Everything that can be set, from the environment (`UWE_...`) and a TOML file (`UWE_SETTINGS`), environment first."""

from __future__ import annotations

import ipaddress
import os
import tomllib
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, StringConstraints, ValidationError, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from service.keys import ApiKey, Scope
from service.logs import LogFormat, LogLevel
from uwe_core.backends.interface import BackendSetting, PrecisionSetting
from uwe_core.catalogue import SpaceSource
from uwe_core.errors import ConfigurationError
from uwe_core.home import default_home
from uwe_core.scoring.candidates import CandidateConfig
from uwe_core.tasks import ZERO_SHOT, RankingTask, standard_tasks
from uwe_core.token_storage import SERVED_STORAGE, StorageType

Origin = Annotated[str, StringConstraints(pattern=r"^(\*|https?://[^/\s]+)$")]
_Rate = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Settings(BaseSettings):
    """The service's settings."""

    model_config = SettingsConfigDict(env_prefix="UWE_", env_nested_delimiter="__", frozen=True, extra="forbid")

    host: str = Field(default="127.0.0.1", description="Address to listen on.")
    port: int = Field(default=8000, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    home: Path = Field(default_factory=default_home, description="Folder of imported taxonomies and token indexes.")

    model: str = Field(default="embedded", description="A built-in model, a checkpoint's folder, or a hub id.")
    model_revision: str | None = Field(default=None, description="Commit, tag or branch of a hub id.")
    device: str = Field(default="auto", description="`auto`, `cpu`, `cuda` or `cuda:n`; an absent one stops the start.")
    backend: BackendSetting = Field(
        default="auto",
        description="What encodes: `torch`, `cuda_graphs`, `onnx` or `openvino`; `auto` measures what is faster.",
    )
    precision: PrecisionSetting = Field(
        default="auto",
        description="Of the encoder's arithmetic: `float32`, `bfloat16` or `int8`; `auto` measures which is faster, "
        "int8 only where the model says that it costs nothing.",
    )
    storage: StorageType = Field(
        default=SERVED_STORAGE,
        description="Precision in which token indexes are stored: `float32`, `bfloat16`, `float16` or `int8`.",
    )
    threads: int = Field(default=0, ge=0, description="Threads of computation; 0 takes the processor quota.")
    precompute: bool = Field(
        default=True, description="Build token indexes that are missing at start; false stops the start instead."
    )

    taxonomy: str = Field(default="sample", description="The taxonomy of the six tasks: `sample`, or one imported.")
    spaces: dict[str, SpaceSource] = Field(default_factory=dict, description="Target spaces of your own, by name.")
    tasks: dict[str, RankingTask] = Field(default_factory=dict, description="Tasks of your own, by name.")
    aliases: dict[str, str] = Field(
        default_factory=dict,
        description="Of a space, by name: the column of its metadata whose texts its targets are matched by too.",
    )
    candidates: dict[str, CandidateConfig] = Field(
        default_factory=dict,
        description="Of a large space, by name: targets that faiss proposes and that are scored; else all are.",
    )

    max_queries: int = Field(default=64, ge=1, description="Most queries in one request.")
    max_query_chars: int = Field(default=4000, ge=1, description="Most characters of one query.")
    max_top_k: int = Field(default=1000, ge=1, description="Most targets returned for one query.")
    max_offset: int = Field(default=10_000, ge=0, description="Most targets passed over by `offset`.")
    max_explained: int = Field(default=50, ge=1, description="Most targets explained for one query.")
    max_embedded_tokens: int = Field(
        default=8192, ge=1, description="Most tokens of all texts of one request to `/embed` with `tokens`."
    )
    max_inline_targets: int = Field(default=1000, ge=1, description="Most targets that one request may bring.")
    max_inline_chars: int = Field(
        default=400_000, ge=1, description="Most characters of all targets that one request brings."
    )
    max_upload_bytes: int = Field(default=33_554_432, ge=1, description="Most bytes of an uploaded space.")
    max_targets: int = Field(
        default=100_000, ge=1, description="Most targets of an uploaded space, their aliases counted too."
    )
    max_spaces: int = Field(default=50, ge=0, description="Most uploaded spaces.")
    max_space_jobs: int = Field(default=16, ge=1, description="Changes of spaces that may wait; more are answered 503.")
    previous_version_seconds: float = Field(
        default=3600.0, ge=0, description="How long requests may name a space's version after another became live."
    )
    refresh_seconds: float = Field(
        default=10.0, ge=0, description="How often to look for spaces that other processes finished; 0 never looks."
    )
    max_batch_items: int = Field(default=256, ge=1, description="Most items of a batch that is no stream of lines.")
    batch_in_flight: int = Field(
        default=16, ge=1, description="Items of one batch or stream that are computed, or wait to be sent, at once."
    )
    max_vacancy_chars: int = Field(default=20_000, ge=1, description="Most characters of a vacancy.")
    max_sentences: int = Field(default=200, ge=1, description="Most sentences of a vacancy.")
    max_body_bytes: int = Field(default=1_000_000, ge=1, description="Most bytes of one request's body.")
    max_waiting: int = Field(default=128, ge=1, description="Requests that may wait; more are answered 503.")
    deadline_seconds: float = Field(default=10.0, gt=0, description="How long a request may wait and compute.")
    batch_tokens: int = Field(
        default=0, ge=0, description="Most tokens of queries computed at once; 0 takes 256 on a CPU, 16384 on a GPU."
    )
    answer_cache_entries: int = Field(
        default=4096,
        ge=0,
        description="Answers kept in memory, one a query and `top_k` of a task; 0 keeps none.",
    )
    embedding_cache_bytes: int = Field(
        default=67_108_864, ge=0, description="Bytes of queries' token embeddings kept on the device; 0 keeps none."
    )
    drain_seconds: float = Field(
        default=1.5, gt=0, description="How long accepted requests are still computed after SIGTERM; then 503."
    )

    api_keys: tuple[ApiKey, ...] = Field(
        default_factory=tuple, description="Keys of callers, as `uwe-serve new-key` prints them."
    )
    allow_anonymous: bool = Field(
        default=False, description="Rank without a key, at any address and beside configured keys."
    )
    anonymous_rate_per_minute: _Rate | None = Field(
        default=None, description="Requests a minute of all callers without a key together."
    )
    metrics_need_admin: bool = Field(default=False, description="`/metrics` needs a key with the scope `admin`.")
    docs_pages: bool = Field(default=True, description="Serve the pages `/docs` and `/redoc`.")
    playground: bool = Field(default=True, description="Serve the page for people at `/`.")
    cors_origins: tuple[Origin, ...] = Field(
        default_factory=tuple, description="Origins whose pages may call from a browser; `*` is all."
    )
    body_seconds: float = Field(default=10.0, gt=0, description="How long a request's body may take to arrive.")
    header_seconds: float = Field(
        default=10.0, gt=0, description="How long a connection's first request, or any request's headers, may take."
    )
    max_header_bytes: int = Field(default=16_384, ge=256, description="Most bytes of one request's URL and headers.")
    max_connections: int = Field(default=1000, ge=1, description="Open connections; more are closed at once.")

    log_format: LogFormat = Field(default="text", description="Lines of the log: `text` for people, or `json`.")
    log_level: LogLevel = Field(default="info", description="Least that is logged: `debug` to `error`.")
    log_texts: bool = Field(default=False, description="Log the texts that callers send, too.")
    tracing: bool = Field(
        default=False, description="Send traces to the collector that `OTEL_EXPORTER_OTLP_ENDPOINT` names."
    )

    @model_validator(mode="before")
    @classmethod
    def _name_tasks(cls, values: dict[str, Any]) -> dict[str, Any]:
        """`[tasks.NAME]` in the TOML file gives a task its name."""
        tasks = values.get("tasks")
        if isinstance(tasks, dict):
            named = {name: {"name": name, **task} if isinstance(task, dict) else task for name, task in tasks.items()}
            return {**values, "tasks": named}
        return values

    @model_validator(mode="after")
    def _tasks_leave_zero_shot(self) -> Self:
        if ZERO_SHOT in self.tasks:
            raise ValueError(f"a task may not be called '{ZERO_SHOT}': that is what rankings without a task are called")
        return self

    @model_validator(mode="after")
    def _keys_differ_and_serve(self) -> Self:
        for what in ("name", "sha256"):
            values = [getattr(key, what) for key in self.api_keys]
            if len(set(values)) < len(values):
                raise ValueError(f"two api_keys have the same {what}")
        if self.metrics_need_admin and not any("admin" in key.scopes for key in self.api_keys):
            raise ValueError("metrics_need_admin is set, and no key of api_keys has the scope 'admin'")
        return self

    @property
    def admits_anonymous(self) -> bool:
        """Whether requests without a key are answered."""
        return self.allow_anonymous or not self.api_keys

    @property
    def anonymous_scopes(self) -> frozenset[Scope]:
        """What requests without a key may: everything where no keys are set and only this machine gets in."""
        only_here = not self.api_keys and not self.allow_anonymous and is_loopback(self.host)
        return frozenset({"rank", "admin"}) if only_here else frozenset({"rank"})

    def refuse_exposure(self) -> None:
        """Stop a start that would open the service to a network by accident.

        Raises:
            ConfigurationError: others than this machine could reach it, without a key, and nobody said that they may.
        """
        if not (self.api_keys or self.allow_anonymous or is_loopback(self.host)):
            raise ConfigurationError(
                f"host {self.host} can be reached from elsewhere and no api_keys are set: make one with"
                " `uwe-serve new-key NAME`, or set allow_anonymous=true where something in front knows the callers"
            )

    @property
    def all_tasks(self) -> dict[str, RankingTask]:
        """The six tasks over the chosen taxonomy, and those of one's own; the last hide the first."""
        return standard_tasks(self.taxonomy) | self.tasks

    @classmethod
    def load(cls, **overrides: Any) -> Self:
        """Read environment and file.

        Raises:
            ConfigurationError: a value that cannot be, or a file that cannot be read.
        """
        file = os.environ.get("UWE_SETTINGS")
        if file and not Path(file).is_file():
            raise ConfigurationError(f"UWE_SETTINGS names {file}, which is not a file")
        try:
            return cls(**overrides)
        except ValidationError as error:
            problems = "; ".join(
                f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}" for problem in error.errors(include_url=False)
            )
            raise ConfigurationError(f"settings: {problems}") from error
        except SettingsError as error:  # a variable that is not the JSON it should be
            raise ConfigurationError(f"settings: {error}") from error
        except tomllib.TOMLDecodeError as error:
            raise ConfigurationError(f"{file} is not TOML: {error}") from error

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the signature is pydantic's
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments, then environment, then the TOML file."""
        file = os.environ.get("UWE_SETTINGS")
        return (init_settings, env_settings, *([TomlConfigSettingsSource(settings_cls, Path(file))] if file else []))


def is_loopback(host: str) -> bool:
    """Whether an address is reached from this machine alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
