"""Neighbours of many nodes at once: where each node's neighbours begin, and all neighbours in turn."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from jaxtyping import Bool, Float, Int64
from numpy import ndarray

# As `BipartiteGraph.targets_of` and `queries_of` give it.
Adjacency: TypeAlias = tuple[Int64[ndarray, " nodes_plus_one"], Int64[ndarray, " edges"]]


def with_an_edge(adjacency: Adjacency) -> Int64[ndarray, " linked"]:
    """The nodes that have a neighbour, ascending."""
    return np.flatnonzero(np.diff(adjacency[0]))


def neighbours(
    adjacency: Adjacency, nodes: Int64[ndarray, " nodes"]
) -> tuple[Int64[ndarray, " links"], Int64[ndarray, " links"]]:
    """All edges of `nodes`: the place in `nodes` that each belongs to, and the neighbour at its other end."""
    starts, others = adjacency
    counts = starts[nodes + 1] - starts[nodes]
    places = np.repeat(np.arange(len(nodes)), counts)
    within = np.arange(len(places)) - np.repeat(counts.cumsum() - counts, counts)
    return places, others[starts[nodes][places] + within]


def neighbours_at(
    adjacency: Adjacency, nodes: Int64[ndarray, " nodes"], fractions: Float[ndarray, "draws nodes"]
) -> Int64[ndarray, "draws nodes"]:
    """The neighbour at that fraction, from 0 to below 1, of each node's list; every node must have one.

    Uniform fractions draw neighbours uniformly.
    """
    starts, others = adjacency
    counts = starts[nodes + 1] - starts[nodes]
    drawn: Int64[ndarray, "draws nodes"] = others[starts[nodes] + (fractions * counts).astype(np.int64)]
    return drawn


def edges_between(
    adjacency: Adjacency, nodes: Int64[ndarray, " nodes"], others: Int64[ndarray, " others"], other_nodes: int
) -> Bool[ndarray, "nodes others"]:
    """Which pairs are edges.

    Args:
        adjacency: of the side that `nodes` are on.
        nodes: of one side.
        others: distinct nodes of the other side.
        other_nodes: how many there are on the other side in all.
    """
    place_of = np.full(other_nodes, -1)
    place_of[others] = np.arange(len(others))
    places, found = neighbours(adjacency, nodes)
    other_places = place_of[found]
    here = other_places >= 0
    linked = np.zeros((len(nodes), len(others)), dtype=np.bool_)
    linked[places[here], other_places[here]] = True
    return linked
