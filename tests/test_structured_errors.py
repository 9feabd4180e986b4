"""Arguments of structures that are none: errors say what is allowed."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import softjax.structured as st

PAIR = jnp.zeros((3, 3)), jnp.zeros((2, 3, 3))
GRID = jnp.zeros((3, 3))
LISTS = [[0.0, 1.0], [1.0, 0.0]]
ONES = jnp.ones(3)
dtw = st.soft_dtw_divergence


def _series(x, y, **keywords):
    return lambda: dtw(x, y, **keywords)


def _value(structure, scores):
    return lambda: st.value(structure, scores)


BAD = {
    "edges of floats": (lambda: st.GraphPath([(0.9, 1.9)], 0, 1), "edges.*0.9"),
    "edges that are no pairs": (lambda: st.GraphPath([1, 2], 0, 2), r"edges.*\[1, 2\]"),
    "edges of triples": (lambda: st.GraphPath([(0, 1, 2)], 0, 2), "edges must be pair"),
    "ragged edges": (lambda: st.GraphPath([(0, 1), (2,)], 0, 1), "edges must be pairs"),
    "source": (lambda: st.GraphPath([(0, 1)], 0.5, 1), "source must.*0.5"),
    "target": (lambda: st.GraphPath([(0, 1)], 0, "1"), "target must.*'1'"),
    "moves of floats": (lambda: st.GridPath(((1.5, 0), (0, 1.9))), "moves.*1.5"),
    "moves of a number": (lambda: st.GridPath(3), "moves must be pairs.*3"),
    "no moves": (lambda: st.GridPath(()), "moves must be"),
    "band": (lambda: st.Alignment(1.5), "band must be an integer.*1.5"),
    "negative band": (lambda: st.Alignment(-1), "band must be.*at least 0.*-1"),
    "length of a chain": (_value(st.Chain(2.5), PAIR), "lengths.*from 1 to 3.*2.5"),
    "length of NaN": (_value(st.Chain(np.nan), PAIR), "lengths.*from 1 to 3.*nan"),
    "length of a string": (_value(st.Chain("3"), PAIR), "lengths.*from 1 to 3.*'3'"),
    "length of a flag": (_value(st.Segments(True), GRID), "lengths.*from 1 to 3.*True"),
    "array of a float": (_value(st.Segments(ONES[0]), GRID), "lengths.*from 1 to 3"),
    "lengths of an alignment": (
        _value(st.Alignment(lengths=(2.0, 2)), GRID),
        "lengths.*from 1 to 3.*2.0",
    ),
    "lists for a grid": (
        _value(st.GridPath(), LISTS),
        r"array of shape \(n, m\).*list",
    ),
    "lists for a tree": (_value(st.ProjectiveTree(), LISTS), "array of shape.*list"),
    "lists for an alignment": (_value(st.Alignment(), LISTS), "array of shape.*list"),
    "lists for a matching": (_value(st.Matching(), LISTS), "array of shape.*list"),
    "a list for a subset": (_value(st.KSubset(1), LISTS[0]), "array of shape.*list"),
    "lists for a chain": (_value(st.Chain(), [LISTS, [LISTS]]), "unary.*array.*list"),
    "a number for a series": (_series(1.0, ONES), r"x must be a series.*\(\)"),
    "an empty series": (_series(ONES, ONES[:0]), r"y must be a series.*\(0,\)"),
    "lengths of series": (_series(ONES, ONES, lengths=2), "lengths.*pair.*2"),
    "long series": (_series(ONES, ONES, lengths=(2, 4)), "of y.*from 1 to 3.*4"),
    "elements": (_series(ONES, GRID), r"one shape.*\(\).*\(3,\)"),
    "costs": (_series(ONES, ONES, costs=lambda a, b: a[:2, None] - b), r"\(3, 3\)"),
}


@pytest.mark.parametrize("name", list(BAD))
def test_what_is_allowed_is_said(name):
    call, message = BAD[name]
    with pytest.raises((TypeError, ValueError), match=message):
        call()


def test_traced_edges_are_refused():
    with pytest.raises(ValueError, match="traced"):
        jax.jit(lambda edges: st.GraphPath(edges, 0, 1))(jnp.array([[0, 1]]))


def test_what_is_allowed():
    """Whole numbers of any kind."""
    edges = np.array([[0, 1], [1, 2]])
    path = st.GraphPath(edges, np.int64(0), 2)
    assert path == st.GraphPath([(0, 1), (1, 2)], 0, 2)
    assert st.GridPath(np.eye(2, dtype=int)) == st.GridPath(((1, 0), (0, 1)))
    assert st.Alignment(np.int32(1)) == st.Alignment(1)
    for length in (2, np.int64(2), np.array(2), jnp.array(2)):
        st.Chain(length).check(PAIR)
