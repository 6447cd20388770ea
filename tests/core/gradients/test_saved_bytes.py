"""What a graph of computation saves is counted, once, and without the weights."""

from __future__ import annotations

import torch

from uwe_core.gradients.saved_bytes import SavedBytes


def test_what_is_saved_counts_once_and_weights_do_not() -> None:
    weight, values = torch.ones(10, 10, requires_grad=True), torch.ones(5, 10)
    saved = SavedBytes([weight])
    with saved:
        product = values @ weight  # saves the values
        result = product.exp()  # saves itself
        both = result * result[:, :]  # saves it again
        both.sum()
    assert saved.total == (50 + 50) * 4
    (gradient,) = torch.autograd.grad(both.sum(), [weight])
    assert torch.isfinite(gradient).all()


def test_without_gradients_nothing_is_saved() -> None:
    weight = torch.ones(10, 10, requires_grad=True)
    saved = SavedBytes([weight])
    with torch.no_grad(), saved:
        (weight @ weight).exp()
    assert saved.total == 0
