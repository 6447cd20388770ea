"""Which models to judge, as words on the command line.

| word | model |
|---|---|
| `MODEL` | a UWE model or any encoder (built-in name, folder, hub id) with its own interaction |
| `MODEL:INTERACTION` | with another interaction of `InteractionKind`, such as `max_sim` |
| `MODEL:INTERACTION@TEMPERATURE` | and another interaction temperature |
| `MODEL+BACKEND-PRECISION...` | queries by another backend, such as `embedded+openvino-int8:max_sim` |
| `st:MODEL` | a sentence encoder with its own pooling, prompts and branches |
| `bm25`, `tf-idf`, `edit-distance`, `random` | what they say |
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import get_args

from training.workbench.baselines.chance import RandomRanking
from training.workbench.baselines.interface import RankingModel
from training.workbench.baselines.lexical import Bm25Ranking, EditDistanceRanking, TfIdfRanking
from training.workbench.baselines.sentence import SentenceRanking
from training.workbench.baselines.uwe import TextEncodings, UweRanking
from uwe_core.backends.choosing import Candidate
from uwe_core.backends.making import make_backend, named_way
from uwe_core.catalogue import SpaceCatalogue
from uwe_core.device import cpu_quota, resolve_device
from uwe_core.errors import InputError
from uwe_core.home import default_home
from uwe_core.interaction import InteractionConfig, InteractionKind
from uwe_core.model import UweModel
from uwe_core.token_index import StorageType

PLAIN: dict[str, Callable[[], RankingModel]] = {
    "bm25": Bm25Ranking,
    "tf-idf": TfIdfRanking,
    "edit-distance": EditDistanceRanking,
    "random": RandomRanking,
}
_SENTENCE_PREFIX = "st:"


def build_models(
    words: Sequence[str], device: str = "auto", *, keep_queries: bool = True, storage: StorageType = "float32"
) -> Iterator[RankingModel]:
    """The models in the order named; an encoder that several words share is loaded once.

    Args:
        words: see the table above.
        device: for those that compute on one.
        keep_queries: see `TextEncodings`.
        storage: see `TextEncodings`.

    Raises:
        InputError: an interaction or temperature that cannot be.
        MissingModelError: a model that is not here.
    """
    loaded: dict[str, tuple[UweModel, TextEncodings]] = {}
    exports = SpaceCatalogue(default_home()).exports
    for word in words:
        if word in PLAIN:
            yield PLAIN[word]()
        elif word.startswith(_SENTENCE_PREFIX):
            yield SentenceRanking(word.removeprefix(_SENTENCE_PREFIX), resolve_device(device))
        else:
            named, interaction = parse_word(word)
            name, way = parse_backend(named)
            if name not in loaded:
                model = UweModel.from_pretrained(name, device=device)
                loaded[name] = (model, TextEncodings(model.encoder, keep_queries=keep_queries, storage=storage))
            model, encodings = loaded[name]
            if way is not None:
                encodings = encodings.with_backend(make_backend(model.encoder, *way, cpu_quota(), exports))
            chosen = model if interaction is None else model.with_interaction(_complete(interaction, model.interaction))
            yield UweRanking(_shown(word, name), chosen, encodings)


def load_model(word: str, device: str = "auto") -> UweModel:
    """The UWE model of a word, with the interaction that it names.

    Raises:
        InputError, MissingModelError: see `build_models`.
    """
    name, interaction = parse_word(word)
    model = UweModel.from_pretrained(name, device=device)
    return model if interaction is None else model.with_interaction(_complete(interaction, model.interaction))


def parse_word(word: str) -> tuple[str, tuple[InteractionKind, float | None] | None]:
    """The model's name, and the interaction and temperature where they are named.

    Raises:
        InputError: the temperature is not a positive number.
    """
    name, colon, rest = word.rpartition(":")
    kind, at, temperature = rest.partition("@")
    for known in get_args(InteractionKind):
        if colon and kind == known:
            try:
                value = float(temperature) if at else None
            except ValueError:
                value = -1.0
            if value is not None and not 0 < value < float("inf"):
                raise InputError(f"'{word}': the temperature is not a positive number")
            return name, (known, value)
    return word, None


def interaction_named(word: str, own: InteractionConfig) -> InteractionConfig:
    """An interaction named as after the colon of a model, without a temperature at that of the own one.

    Raises:
        InputError: the word names none.
    """
    _, wanted = parse_word(f":{word}")
    if wanted is None:
        raise InputError(f"'{word}' is no interaction: {', '.join(get_args(InteractionKind))}")
    return _complete(wanted, own)


def parse_backend(name: str) -> tuple[str, Candidate | None]:
    """The model's name, and the backend and precision where they are named; other plus signs belong to the name."""
    model, _, word = name.rpartition("+")
    way = named_way(word)
    return (model, way) if model and way else (name, None)


def _shown(word: str, name: str) -> str:
    """The word with the last part of a folder or hub id in place of the whole."""
    return Path(name).name + word.removeprefix(name)


def _complete(wanted: tuple[InteractionKind, float | None], own: InteractionConfig) -> InteractionConfig:
    kind, temperature = wanted
    return own.model_copy(update={"kind": kind, "interaction_temperature": temperature or own.interaction_temperature})
