"""All structures of small problems, and recursions with any maximum, in NumPy."""

import functools
import itertools
from collections.abc import Callable, Iterator

import numpy as np

Maximum = Callable[[np.ndarray], float]
"""A maximum of a list of candidates, hard or regularized."""


def chains(times: int, states: int) -> np.ndarray:
    """All sequences of states: indicators of states and transitions, flattened."""
    rows = []
    for path in itertools.product(range(states), repeat=times):
        unary = np.eye(states)[list(path)]
        pairs = np.zeros((times - 1, states, states))
        for t in range(times - 1):
            pairs[t, path[t], path[t + 1]] = 1
        rows.append(np.concatenate([unary.ravel(), pairs.ravel()]))
    return np.array(rows)


def segmentations(times: int, longest: int, labels: int | None = None) -> np.ndarray:
    """All segmentations, by where segments start, their lengths less 1, and labels."""

    def continued(start: int) -> Iterator[list[tuple[int, int, int]]]:
        if start == times:
            yield []
        for length in range(min(longest, times - start)):
            for label in range(labels or 1):
                for rest in continued(start + length + 1):
                    yield [(start, length, label), *rest]

    return _indicators(continued(0), (times, longest, labels or 1))


def grid_paths(
    rows: int, columns: int, moves: tuple[tuple[int, int], ...], band: int | None = None
) -> np.ndarray:
    """All monotone paths through a grid, by their cells."""

    def continued(i: int, j: int) -> Iterator[list[tuple[int, int]]]:
        if i >= rows or j >= columns or (band is not None and abs(i - j) > band):
            return
        if (i, j) == (rows - 1, columns - 1):
            yield [(i, j)]
            return
        for di, dj in moves:
            for rest in continued(i + di, j + dj):
                yield [(i, j), *rest]

    return _indicators(continued(0, 0), (rows, columns))


def graph_paths(edges: list[tuple[int, int]], source: int, target: int) -> np.ndarray:
    """All paths through a directed acyclic graph, by their edges."""

    def continued(node: int) -> Iterator[list[tuple[int]]]:
        if node == target:
            yield []
            return
        for number, (origin, end) in enumerate(edges):
            if origin == node:
                for rest in continued(end):
                    yield [(number,), *rest]

    return _indicators(continued(source), (len(edges),))


def projective_trees(words: int, multiple_roots: bool = False) -> np.ndarray:
    """All projective trees, by head and modifier; roots are on the diagonal."""

    def trees():
        for heads in itertools.product(range(words), repeat=words):
            roots = sum(head == word for word, head in enumerate(heads))
            if roots < 1 or (roots > 1 and not multiple_roots):
                continue
            above = [_above(word, heads) for word in range(words)]
            if None not in above and all(
                heads[word] in above[between]
                for word in range(words)
                for between in range(*sorted((word, heads[word])))
            ):
                yield [(head, word) for word, head in enumerate(heads)]

    return _indicators(trees(), (words, words))


def _above(word: int, heads: tuple[int, ...]) -> list[int] | None:
    """A word and all that it descends from; None if it descends from itself."""
    found = [word]
    while heads[word] != word:
        word = heads[word]
        if word in found:
            return None
        found.append(word)
    return found


def _indicators(structures, shape: tuple[int, ...]) -> np.ndarray:
    rows = []
    for parts in structures:
        row = np.zeros(shape)
        for part in parts:
            row[part] += 1
        rows.append(row.ravel())
    return np.array(rows)


def chain_recursion(z: np.ndarray, shape: tuple[int, int], maximum: Maximum) -> float:
    """The value of the best sequence, from the first time on."""
    times, states = shape
    unary = z[: times * states].reshape(times, states)
    pairs = z[times * states :].reshape(times - 1, states, states)
    values = unary[0]
    for t in range(times - 1):
        arrived = [maximum(values + pairs[t, :, s]) for s in range(states)]
        values = np.array(arrived) + unary[t + 1]
    return maximum(values)


def segments_recursion(
    z: np.ndarray, shape: tuple[int, ...], maximum: Maximum
) -> float:
    """The value of the best segmentation, from the start on."""
    times, longest = shape[:2]
    z = z.reshape(times, longest, -1)
    values = [0.0]
    for end in range(1, times + 1):
        starts = range(max(end - longest, 0), end)
        candidates = [values[s] + z[s, end - s - 1] for s in starts]
        values.append(maximum(np.concatenate(candidates)))
    return values[-1]


def grid_recursion(
    z: np.ndarray,
    shape: tuple[int, int],
    moves: tuple[tuple[int, int], ...],
    maximum: Maximum,
    band: int | None = None,
) -> float:
    """The value of the best path, from the first cell on."""
    values = {(0, 0): z[0]}
    for i, j in itertools.product(*map(range, shape)):
        before = [(i - di, j - dj) for di, dj in moves]
        known = [values[cell] for cell in before if cell in values]
        if known and (band is None or abs(i - j) <= band):
            values[i, j] = maximum(np.array(known)) + z[i * shape[1] + j]
    return values[shape[0] - 1, shape[1] - 1]


def graph_recursion(
    z: np.ndarray,
    edges: list[tuple[int, int]],
    source: int,
    target: int,
    maximum: Maximum,
) -> float:
    """The value of the best path, from the source on."""

    @functools.cache
    def value(node: int) -> float | None:
        if node == source:
            return 0.0
        arriving = [
            value(origin) + z[number]
            for number, (origin, end) in enumerate(edges)
            if end == node and value(origin) is not None
        ]
        return maximum(np.array(arriving)) if arriving else None

    best = value(target)
    assert best is not None
    return best


def tree_recursion(z: np.ndarray, words: int, maximum: Maximum) -> float:
    """The value of the best projective tree with a single root (Eisner)."""
    z = z.reshape(words, words)

    @functools.cache
    def gap(i: int, j: int) -> float:
        return maximum(
            np.array([full(i, k, True) + full(k + 1, j, False) for k in range(i, j)])
        )

    @functools.cache
    def full(i: int, j: int, left_headed: bool) -> float:
        if i == j:
            return 0.0
        if left_headed:
            parts = [
                gap(i, k) + z[i, k] + full(k, j, True) for k in range(i + 1, j + 1)
            ]
        else:
            parts = [full(i, k, False) + gap(k, j) + z[j, k] for k in range(i, j)]
        return maximum(np.array(parts))

    last = words - 1
    return maximum(
        np.array(
            [full(0, m, False) + full(m, last, True) + z[m, m] for m in range(words)]
        )
    )
