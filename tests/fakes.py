"""Small stand-ins: encoders of four families with random weights, and token indexes without an encoder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer
from tokenizers.processors import TemplateProcessing
from transformers import (
    BertConfig,
    BertModel,
    ModernBertConfig,
    ModernBertModel,
    MPNetConfig,
    MPNetModel,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    XLMRobertaConfig,
    XLMRobertaModel,
)

from uwe_core.interaction import inverse_norms
from uwe_core.token_index import IndexManifest, StorageType, TokenIndex
from uwe_core.token_storage import read_back, stored

# Some words that tiny models know.
TINY_WORDS = tuple("nurse welder baker weld metal bake bread care for people take blood pressure".split())  # noqa: SIM905
FAMILIES = ("bert", "mpnet", "xlm-roberta", "modernbert")
TINY_LIMIT = 24
_WORDS = (*"abc", *TINY_WORDS, *",.()")
_SPECIAL = ["[CLS]", "[PAD]", "[SEP]", "[UNK]", "[MASK]"]  # the padding id is 1, as in the RoBERTa family


def save_tiny_model(family: str, folder: Path, seed: int = 0) -> Path:
    """An encoder of that family with two layers of 16 dimensions that takes 24 tokens at most, and its tokenizer."""
    torch.manual_seed(seed)
    _tiny_backbone(family).save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return folder


def keep_weights(folder: Path, kept: Callable[[str], bool]) -> None:
    """Leave only some of a saved model's weights, by name."""
    path = folder / "model.safetensors"
    tensors = {name: tensor for name, tensor in load_file(path).items() if kept(name)}
    save_file(tensors, path, metadata={"format": "pt"})


def tiny_tokenizer(words: Sequence[str] = _WORDS) -> PreTrainedTokenizerFast:
    """Words by number; padding and truncation are set as published folders set them, and must be ignored."""
    vocabulary = {word: number for number, word in enumerate([*_SPECIAL, *words])}
    tokenizer = Tokenizer(WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = BertNormalizer()
    tokenizer.pre_tokenizer = BertPreTokenizer()
    tokenizer.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[(word, vocabulary[word]) for word in ("[CLS]", "[SEP]")]
    )
    tokenizer.enable_truncation(5)
    tokenizer.enable_padding(length=5, pad_id=1, pad_token="[PAD]")
    names = {"cls_token": "[CLS]", "pad_token": "[PAD]", "sep_token": "[SEP]", "unk_token": "[UNK]"}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, mask_token="[MASK]", **names)


def random_index(
    token_counts: Sequence[int], dim: int = 8, dtype: StorageType = "float32", seed: int = 0, norm: float = 1.0
) -> TokenIndex:
    """An index of targets with that many tokens each, stored as `TokenIndex.build` stores them."""
    generator = torch.Generator().manual_seed(seed)
    order = sorted(range(len(token_counts)), key=token_counts.__getitem__)
    offsets = torch.tensor([0, *(token_counts[target] for target in order)]).cumsum(0)
    embeddings = norm * torch.randn(int(offsets[-1]), dim, generator=generator)
    embeddings, scales = stored(embeddings, dtype)
    manifest = IndexManifest(
        space="random", encoder_fingerprint="e", space_fingerprint="s", dtype=dtype, dim=dim,
        targets=len(order), tokens=len(embeddings), truncated_targets=0, checksums={},
    )  # fmt: skip
    norms = inverse_norms(read_back(embeddings, scales))
    return TokenIndex(manifest, embeddings, norms, offsets, torch.tensor(order), scales)


def _tiny_backbone(family: str) -> PreTrainedModel:
    shape: dict[str, Any] = {
        "vocab_size": len(_SPECIAL) + len(_WORDS), "hidden_size": 16, "num_hidden_layers": 2,
        "num_attention_heads": 2, "intermediate_size": 32, "pad_token_id": 1,
    }  # fmt: skip
    match family:
        case "bert":
            return BertModel(BertConfig(**shape, max_position_embeddings=TINY_LIMIT))
        case "mpnet":
            return MPNetModel(MPNetConfig(**shape, max_position_embeddings=TINY_LIMIT + 2))
        case "xlm-roberta":
            return XLMRobertaModel(XLMRobertaConfig(**shape, max_position_embeddings=TINY_LIMIT + 2))
        case _:
            ends: dict[str, Any] = {"bos_token_id": 0, "eos_token_id": 2, "cls_token_id": 0, "sep_token_id": 2}
            return ModernBertModel(ModernBertConfig(**shape, **ends, max_position_embeddings=TINY_LIMIT))
