"""Which names of a model a request may give: clients of other services must name one."""

from __future__ import annotations

from service.engine import RankingEngine
from uwe_core.errors import UnknownModelError

# For those who must name a model and want whichever is served.
ANY_MODEL = "uwe"


def check_model(name: str | None, engine: RankingEngine) -> None:
    """Refuse to answer with another model than the one that was asked for.

    Raises:
        UnknownModelError: the name is neither the model's own, nor its fingerprint, nor `uwe`.
    """
    model = engine.description
    known = (ANY_MODEL, model.model_name, model.model_fingerprint)
    if name is not None and name not in known:
        raise UnknownModelError(name, list(known))
