"""What goes over the wire when documents are reranked: text-embeddings-inference's shape, and Cohere's."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, ConfigDict, Field, RootModel

from service.schemas.body import Body
from service.schemas.origin import ModelSummary

_TEXT = "text"


class TeiRerankRequest(Body):
    """A `query`, and the `texts` to rank for it."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"query": "pharmacy technician", "texts": ["weld metal", "dispense medicines"]}]
        }
    )

    query: str
    texts: list[str] = Field(min_length=1)
    model: str | None = Field(default=None, description="The model that is expected to answer; any where absent.")
    raw_scores: bool = Field(default=False, description="The model's own score in place of the normalised one.")
    return_text: bool = Field(default=False, description="Return each text with its score.")
    truncate: bool | None = Field(
        default=None, description="`false` refuses texts longer than the model reads; else their beginning is read."
    )
    truncation_direction: Literal["Right", "right"] = Field(default="Right", description="What is cut off: the end.")


class RankedText(Body):
    """One of the texts with its score."""

    index: int = Field(description="Its position in the request.")
    score: float = Field(description="Normalised, in [-1, 1], unless `raw_scores` was asked for.")
    text: str | None = Field(default=None, description="Where `return_text` was asked for.")


class TeiRerankResponse(RootModel[list[RankedText]]):
    """All texts, best first."""


def _with_text(document: dict[str, str]) -> dict[str, str]:
    if _TEXT not in document:
        raise ValueError("a document has a 'text'")
    return document


Document = Annotated[dict[str, str], AfterValidator(_with_text)]


class CohereRerankRequest(Body):
    """A `query`, and the `documents` to rank for it."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "model": "uwe",
                    "query": "pharmacy technician",
                    "documents": ["weld metal", "dispense medicines"],
                    "top_n": 1,
                }
            ]
        }
    )

    query: str
    documents: list[str | Document] = Field(min_length=1, description="Texts, or objects with a `text`.")
    model: str | None = Field(
        default=None, description="`uwe`, or the name or fingerprint of the model that is expected to answer."
    )
    top_n: int | None = Field(default=None, ge=1, description="Documents to return; all where absent.")
    return_documents: bool = Field(default=False, description="Return each document with its score.")
    max_tokens_per_doc: int | None = Field(
        default=None, ge=1, description="Tokens of each document that are read, where fewer than the model can read."
    )

    @property
    def texts(self) -> list[str]:
        """The texts of all documents."""
        return [document if isinstance(document, str) else document[_TEXT] for document in self.documents]

    def document(self, position: int) -> dict[str, str]:
        """One of the documents, as an object."""
        document = self.documents[position]
        return {_TEXT: document} if isinstance(document, str) else document


class RerankedDocument(Body):
    """One of the documents with its score."""

    index: int = Field(description="Its position in the request.")
    relevance_score: float = Field(description="The normalised score, in [-1, 1].")
    document: dict[str, str] | None = Field(default=None, description="Where `return_documents` was asked for.")


class ApiVersion(Body):
    """Whose shape the answer has."""

    version: str


class RerankMeta(Body):
    """What the answer comes from."""

    api_version: ApiVersion
    model: ModelSummary


class CohereRerankResponse(Body):
    """Documents, best first."""

    id: str = Field(description="Of the request, as in the header `X-Request-ID`.")
    results: list[RerankedDocument]
    meta: RerankMeta
