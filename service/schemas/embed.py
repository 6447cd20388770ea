"""What goes over the wire at `/embed`, in this service's own shape and in text-embeddings-inference's."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self, TypeAlias

from pydantic import ConfigDict, Discriminator, Field, RootModel, Tag, model_validator

from service.schemas.body import Body
from service.schemas.origin import ModelSummary
from service.schemas.tokens import Token, Truncated
from service.text_fields import TextField, text_field

EncodingFormat = Literal["float", "base64"]
_BASE64 = "or, in `base64`, its float32 in little-endian order"


class EmbedRequest(Body):
    """One `text`, or several `texts`."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"text": "pharmacy technician"},
                {"texts": ["nurse", "welder"], "normalise": True, "encoding_format": "base64"},
                {"text": "pharmacy technician", "tokens": True},
            ]
        }
    )

    text: str | None = Field(default=None, description="A single text.")
    texts: list[str] | None = Field(default=None, min_length=1, description="Several texts.")
    model: str | None = Field(default=None, description="The model that is expected to answer; any where absent.")
    tokens: bool = Field(
        default=False, description="The embedding of each token, as the model scores with, in place of their mean."
    )
    normalise: bool = Field(default=False, description="Scale every vector to length 1.")
    encoding_format: EncodingFormat = Field(
        default="float", description="How vectors are written: as numbers, or as base64 of float32, little-endian."
    )

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.text is None) == (self.texts is None):
            raise ValueError("give either 'text' or 'texts'")
        return self

    @property
    def field(self) -> TextField:
        """The texts, and where they stand."""
        return text_field("text", self.text, "texts", self.texts)


class TeiEmbedRequest(Body):
    """The same question as text-embeddings-inference asks it."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"inputs": ["nurse", "welder"], "normalize": True}]})

    inputs: str | Annotated[list[str], Field(min_length=1)] = Field(description="A single text, or several.")
    normalize: bool = Field(default=True, description="Scale every vector to length 1.")
    truncate: bool | None = Field(
        default=None, description="`false` refuses texts longer than the model reads; else their beginning is read."
    )
    truncation_direction: Literal["Right", "right"] = Field(default="Right", description="What is cut off: the end.")

    @property
    def field(self) -> TextField:
        """The texts, and where they stand."""
        one, several = (self.inputs, None) if isinstance(self.inputs, str) else (None, self.inputs)
        return text_field("inputs", one, "inputs", several)


def _shape(body: Any) -> str:
    """Whose shape a body has; anything that is neither is held to the service's own."""
    return "inputs" if isinstance(body, TeiEmbedRequest) or (isinstance(body, dict) and "inputs" in body) else "texts"


AnyEmbedRequest: TypeAlias = Annotated[
    Annotated[EmbedRequest, Tag("texts")] | Annotated[TeiEmbedRequest, Tag("inputs")], Discriminator(_shape)
]


class EmbeddedText(Body):
    """The vector of one text, or those of its tokens."""

    text: str
    embedding: list[float] | str | None = Field(
        description=f"The mean of the text's tokens, {_BASE64}; null where `tokens` was asked for."
    )
    tokens: list[Token] | None = Field(default=None, description="Its tokens, where they were asked for.")
    token_embeddings: list[list[float]] | str | None = Field(
        default=None, description=f"A vector for each of `tokens`, {_BASE64}, token after token."
    )
    truncated: Truncated | None = None


class EmbedResponse(Body):
    """Embeddings in the order of the texts."""

    model: ModelSummary
    dimension: int = Field(description="Components of a vector.")
    normalised: bool = Field(description="Whether every vector has length 1.")
    results: list[EmbeddedText]


class TeiEmbedResponse(RootModel[list[list[float]]]):
    """A vector for each text, in their order."""
