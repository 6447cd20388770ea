"""From the rankings of a vacancy's sentences to its skills, each with the sentences that it came from.

A skill's score is the best `normalised_score` of its sentences. Scores themselves are sums over a sentence's tokens, so
that a long sentence would always win; divided by their number they lie in [-1, 1] whatever the length.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import orjson

from service.answers import AnswerSource
from service.words import words_of
from uwe_core.sentences import Sentence

# A part of an answer of `service.answers`, read again.
Json: TypeAlias = dict[str, Any]


def extraction_json(
    source: AnswerSource,
    pieces: Sequence[Sentence],
    answers: Mapping[str, bytes],
    top_k: int,
    min_normalised_score: float | None,
) -> bytes:
    """The response: skills merged over sentences, best first; of equal ones that of the earlier sentence.

    Args:
        source: of the answers.
        pieces: of the vacancy, in their order.
        answers: the JSON of each sentence's ranking, by its text.
        top_k: most skills to return.
        min_normalised_score: least score of a skill, and of a sentence as evidence for it; None asks for none.
    """
    read = {text: orjson.loads(answer) for text, answer in answers.items()}
    evidence: defaultdict[str, list[Json]] = defaultdict(list)
    targets: dict[str, Json] = {}
    for piece in pieces:
        answer = read[piece.text]
        for target in answer["targets"]:
            if min_normalised_score is None or target["normalised_score"] >= min_normalised_score:
                targets.setdefault(target["id"], target)
                evidence[target["id"]].append(_evidence(piece, answer, target))
    best = {identifier: max(found, key=_score) for identifier, found in evidence.items()}
    order = sorted(targets, key=lambda identifier: -_score(best[identifier]))[:top_k]  # stable, as said above
    skills = [
        _skill(targets[identifier], rank, best[identifier], evidence[identifier])
        for rank, identifier in enumerate(order, start=1)
    ]
    facts = {
        "task": source.task.name,
        "model": {"name": source.model_name, "fingerprint": source.model_fingerprint},
        "index": {"space": source.task.target_space, "fingerprint": source.index_fingerprint},
        "sentences": len(pieces),
        "skills": skills,
    }
    return orjson.dumps(facts)


def _score(found: Json) -> float:
    score: float = found["normalised_score"]
    return score


def _skill(target: Json, rank: int, best: Json, evidence: list[Json]) -> Json:
    facts = {name: target[name] for name in ("id", "text", "metadata")}
    scores = {name: best[name] for name in ("normalised_score", "confidence")}
    return facts | scores | {"rank": rank, "evidence": sorted(evidence, key=lambda found: -_score(found))}


def _evidence(piece: Sentence, answer: Json, target: Json) -> Json:
    scores = {name: target[name] for name in ("score", "normalised_score", "confidence", "matched_alias")}
    place = {"start": piece.start, "end": piece.end, "text": piece.text}
    explanation = target["explanation"]
    words = None if explanation is None else _words(piece, answer["query_tokens"], explanation)
    return place | scores | {"truncated": answer["truncated"], "words": words}


def _words(piece: Sentence, tokens: Sequence[Json], explanation: Json) -> list[Json]:
    """What each word of a sentence adds to the score, largest first; what tokens of no word add is left out."""
    adds = list(explanation["rest"])
    for pair in explanation["pairs"]:
        adds[pair["query_token"]] += pair["contribution"]
    places = [None if token["start"] is None else (token["start"], token["end"]) for token in tokens]
    found = [
        {
            "start": piece.start + word.start,
            "end": piece.start + word.end,
            "text": piece.text[word.start : word.end],
            "contribution": sum(adds[position] for position in word.tokens),
        }
        for word in words_of(piece.text, places)
    ]
    return sorted(found, key=lambda word: -word["contribution"])
