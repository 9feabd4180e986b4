"""All trees, matchings and subsets of small problems, in NumPy."""

import itertools

import numpy as np

from .structures import Maximum

Pairs = list[tuple[int, int]]


def all_pairs(nodes: int, directed: bool = False) -> Pairs:
    """Pairs of different nodes: ordered ones where directed."""
    both = itertools.permutations if directed else itertools.combinations
    return list(both(range(nodes), 2))


def spanning_trees(nodes: int, edges: Pairs) -> np.ndarray:
    """All sets of edges that join all nodes and are as few as possible."""
    rows = [
        _indicator(len(edges), chosen)
        for chosen in itertools.combinations(range(len(edges)), nodes - 1)
        if len(_reached(0, [edges[e] for e in chosen], both=True)) == nodes
    ]
    return np.array(rows)


def arborescences(nodes: int, arcs: Pairs, root: int) -> np.ndarray:
    """All sets of arcs, one into each node but the root, that reach all nodes."""
    into = [
        [number for number, (_, head) in enumerate(arcs) if head == node]
        for node in range(nodes)
        if node != root
    ]
    rows = [
        _indicator(len(arcs), chosen)
        for chosen in itertools.product(*into)
        if len(_reached(root, [arcs[a] for a in chosen], both=False)) == nodes
    ]
    return np.array(rows)


def matchings(n: int, m: int) -> np.ndarray:
    """All matchings of the fewer of n rows and m columns, flattened."""
    rows = []
    for places in itertools.permutations(range(max(n, m)), min(n, m)):
        pairs = enumerate(places) if n <= m else ((p, j) for j, p in enumerate(places))
        row = np.zeros((n, m))
        for pair in pairs:
            row[pair] = 1
        rows.append(row.ravel())
    return np.array(rows)


def subsets(n: int, k: int) -> np.ndarray:
    """All subsets of k of n items."""
    chosen = itertools.combinations(range(n), k)
    return np.array([_indicator(n, items) for items in chosen])


def knapsacks(sizes: tuple[int, ...], capacity: int) -> np.ndarray:
    """All subsets of items whose sizes add up to at most the capacity."""
    rows = np.array(list(itertools.product([0.0, 1.0], repeat=len(sizes))))
    return rows[rows @ np.array(sizes) <= capacity]


def means_of_k(structures: np.ndarray, k: int) -> np.ndarray:
    """All means of k different structures."""
    groups = itertools.combinations(range(len(structures)), k)
    return np.array([structures[list(group)].mean(axis=0) for group in groups])


def _reached(start: int, pairs: Pairs, both: bool) -> set[int]:
    reached, size = {start}, 0
    while len(reached) > size:
        size = len(reached)
        reached |= {head for tail, head in pairs if tail in reached}
        if both:
            reached |= {tail for tail, head in pairs if head in reached}
    return reached


def _indicator(size: int, chosen: tuple[int, ...]) -> np.ndarray:
    row = np.zeros(size)
    row[list(chosen)] = 1
    return row


def items_recursion(
    z: np.ndarray,
    sizes: tuple[int, ...],
    capacity: int,
    maximum: Maximum,
    full: bool = False,
) -> float:
    """The value of the best items, of the size of the capacity where `full`."""
    values = {0: 0.0}
    for score, size in zip(z, sizes, strict=True):
        both = [values, {used + size: v + score for used, v in values.items()}]
        values = {
            used: maximum(np.array([part[used] for part in both if used in part]))
            for used in sorted(set().union(*both))
            if used <= capacity
        }
    return values[capacity] if full else maximum(np.array(list(values.values())))
