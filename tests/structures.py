"""The shared list of structures: what joins it takes part in every test over it."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import inputs
import jax
import jax.numpy as jnp
import numpy as np
from oracles import sets, structures as oracles

import softjax.structured as st

EDGES = [(0, 1), (0, 2), (1, 2), (1, 3), (2, 3), (2, 4), (3, 4), (0, 4), (3, 4), (5, 4)]
KNIGHT = (1, 2), (2, 1), (1, 1), (1, 0)
ALIGNED = (1, 1), (1, 0), (0, 1)


class Case(NamedTuple):
    """A structure of small size, and what it means.

    - `shapes`: a pytree of the shapes of its scores.
    - `enumerate`: a function that returns all structures, each flattened as
        `jax.flatten_util.ravel_pytree` does: `(N, d)`.
    - `recursion`: of a dynamic program, the value by a recursion in NumPy, of flat
        scores and a maximum of lists.
    """

    name: str
    structure: st.Structure
    shapes: tuple
    enumerate: Callable[[], np.ndarray]
    recursion: Callable[[np.ndarray, oracles.Maximum], float] | None = None

    def scores(self, *seed, scale: float = 1.0, dtype=np.float64):
        """Random scores of the right shapes."""
        rng = inputs.rng(self.name, *seed)
        return jax.tree.map(
            lambda shape: (scale * rng.normal(size=shape)).astype(dtype),
            self.shapes,
            is_leaf=lambda shape: all(isinstance(n, int) for n in shape),
        )


def two_of(scores):
    """The best two items, by an oracle of a user's."""
    best = jax.lax.top_k(scores, 2)[1]
    return jnp.zeros_like(scores).at[best].set(1)


def flat(tree) -> np.ndarray:
    """A pytree of arrays as one vector, in the order of the oracles."""
    return np.concatenate([np.ravel(x) for x in jax.tree.leaves(tree)])


def _chain(z, maximum):
    return oracles.chain_recursion(z, (4, 3), maximum)


def _segments(z, maximum):
    return oracles.segments_recursion(z, (5, 3), maximum)


def _labelled(z, maximum):
    return oracles.segments_recursion(z, (4, 3, 2), maximum)


def _alignment(z, maximum):
    return oracles.grid_recursion(z, (4, 3), ALIGNED, maximum)


def _banded(z, maximum):
    return oracles.grid_recursion(z, (5, 4), ALIGNED, maximum, 1)


def _grid(z, maximum):
    return oracles.grid_recursion(z, (4, 4), ((1, 0), (0, 1)), maximum)


def _knight(z, maximum):
    return oracles.grid_recursion(z, (6, 5), KNIGHT, maximum)


def _graph(z, maximum):
    return oracles.graph_recursion(z, EDGES, 0, 4, maximum)


def _tree(z, maximum):
    return oracles.tree_recursion(z, 4, maximum)


_partial = functools.partial

STRUCTURES = [
    Case(
        "chain", st.Chain(), ((4, 3), (3, 3, 3)), _partial(oracles.chains, 4, 3), _chain
    ),
    Case(
        "segments",
        st.Segments(),
        (5, 3),
        _partial(oracles.segmentations, 5, 3),
        _segments,
    ),
    Case(
        "labelled_segments",
        st.Segments(),
        (4, 3, 2),
        _partial(oracles.segmentations, 4, 3, 2),
        _labelled,
    ),
    Case(
        "alignment",
        st.Alignment(),
        (4, 3),
        _partial(oracles.grid_paths, 4, 3, ALIGNED),
        _alignment,
    ),
    Case(
        "banded_alignment",
        st.Alignment(band=1),
        (5, 4),
        _partial(oracles.grid_paths, 5, 4, ALIGNED, 1),
        _banded,
    ),
    Case(
        "grid_path",
        st.GridPath(),
        (4, 4),
        _partial(oracles.grid_paths, 4, 4, ((1, 0), (0, 1))),
        _grid,
    ),
    Case(
        "grid_path_of_moves",
        st.GridPath(KNIGHT),
        (6, 5),
        _partial(oracles.grid_paths, 6, 5, KNIGHT),
        _knight,
    ),
    Case(
        "graph_path",
        st.GraphPath(EDGES, 0, 4),
        (len(EDGES),),
        _partial(oracles.graph_paths, EDGES, 0, 4),
        _graph,
    ),
    Case(
        "projective_tree",
        st.ProjectiveTree(),
        (4, 4),
        _partial(oracles.projective_trees, 4),
        _tree,
    ),
    Case(
        "projective_trees",
        st.ProjectiveTree(multiple_roots=True),
        (3, 3),
        _partial(oracles.projective_trees, 3, True),
    ),
]
"""Paths, alignments, segmentations, projective trees: dynamic programs."""

PARALLEL = [(0, 1), (1, 0), (1, 2), (2, 3), (0, 3), (1, 3), (1, 2)]
ARCS = [(0, 1), (2, 0), (2, 1), (1, 0), (0, 3), (3, 1), (1, 3), (2, 3), (0, 1), (3, 2)]
SIZES = 3, 1, 2, 2, 4


def _subset(z, maximum):
    return sets.items_recursion(z, (1,) * 6, 2, maximum, True)


def _bag(z, maximum):
    return sets.items_recursion(z, SIZES, 6, maximum)


SETS = [
    Case(
        "spanning_tree",
        st.SpanningTree(4),
        (6,),
        _partial(sets.spanning_trees, 4, sets.all_pairs(4)),
    ),
    Case(
        "spanning_tree_of_edges",
        st.SpanningTree(4, PARALLEL, root=2),
        (len(PARALLEL),),
        _partial(sets.spanning_trees, 4, PARALLEL),
    ),
    Case(
        "arborescence",
        st.SpanningTree(4, directed=True),
        (12,),
        _partial(sets.arborescences, 4, sets.all_pairs(4, True), 0),
    ),
    Case(
        "arborescence_of_arcs",
        st.SpanningTree(4, ARCS, directed=True, root=2),
        (len(ARCS),),
        _partial(sets.arborescences, 4, ARCS, 2),
    ),
    Case("matching", st.Matching(), (4, 4), _partial(sets.matchings, 4, 4)),
    Case("wide_matching", st.Matching(), (2, 4), _partial(sets.matchings, 2, 4)),
    Case("tall_matching", st.Matching(), (4, 3), _partial(sets.matchings, 4, 3)),
    Case("subset", st.KSubset(2), (6,), _partial(sets.subsets, 6, 2), _subset),
    Case(
        "knapsack",
        st.Knapsack(SIZES, 6),
        (5,),
        _partial(sets.knapsacks, SIZES, 6),
        _bag,
    ),
    Case("oracle", st.Oracle(two_of), (5,), _partial(sets.subsets, 5, 2)),
]
"""Spanning trees, matchings and subsets."""


PROGRAMS = [
    case
    for case in [*STRUCTURES, *SETS]
    if isinstance(case.structure, st.DynamicProgram)
]
"""Cases whose structure is a dynamic program."""


LENGTHS = {
    "chain": (st.Chain, ((4, 3), (3, 3, 3)), ((6, 3), (5, 3, 3)), 4),
    "one": (st.Chain, ((1, 3), (0, 3, 3)), ((4, 3), (3, 3, 3)), 1),
    "segments": (st.Segments, ((4, 3, 2),), ((7, 3, 2),), 4),
    "alignment": (
        lambda lengths: st.Alignment(lengths=lengths),
        ((4, 3),),
        ((5, 6),),
        (4, 3),
    ),
    "banded": (
        lambda lengths: st.Alignment(1, lengths),
        ((4, 3),),
        ((5, 6),),
        (4, 3),
    ),
}
"""How structures of a length are made, short shapes, longer ones, and the lengths."""


def short_and_padded(name: str, seed, filler: float):
    """A maker of structures, lengths, scores, and longer scores with a filler."""
    make, shapes, longer, lengths = LENGTHS[name]
    rng = inputs.rng(name, seed)
    short = tuple(rng.normal(size=shape).astype(np.float32) for shape in shapes)
    padded = tuple(np.full(shape, filler, np.float32) for shape in longer)
    for x, out in zip(short, padded, strict=True):
        out[tuple(map(slice, x.shape))] = x
    if len(shapes) == 1:
        (short,), (padded,) = short, padded
    return make, jax.tree.map(jnp.asarray, lengths), short, padded


def assert_padded(longer, short, check=np.testing.assert_array_equal):
    """Padding has 0, and the rest is as without padding."""
    pairs = zip(jax.tree.leaves(longer), jax.tree.leaves(short), strict=True)
    for y, x in pairs:
        expected = np.zeros(y.shape)
        expected[tuple(map(slice, x.shape))] = x
        check(y, expected)
