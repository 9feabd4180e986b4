from __future__ import annotations

import math
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PyTree

from softjax_solvers import (
    SimplexProjection,
    invert,
    map_chunks,
    pad_last,
    permute,
    sum_chunks,
)

from ._method import Ordered, Relaxation, Sample
from ._rows import RowMethod
from ._windows import Entries, Windows, group_size


class NeuralSort(RowMethod):
    """Row i of argsort is the simplex projection of `((n + 1 - 2i) x - A) / softness`.

    Here `A_j = sum_l |x_j - x_l|`, and i = 1 is the row of the largest. The deviations
    are prefix sums over the sorted values. Where windows of O(sqrt n) neighbours hold
    all of a row but rounding, or a sparse row, `sort` and `rank` take O(n sqrt n) time;
    elsewhere O(n^2). Both are in chunks of rows, of O(n) memory. The median is the
    centre row, in which x has the coefficient 0.

    **Example:**

        >>> x = jnp.array([0.2, 1.0, 0.7])
        >>> print(sj.sort(x, method="neuralsort"))
        [0.203 0.711 0.986]
        >>> print(sj.rank(x, method="neuralsort"))
        [2.994 1.047 1.959]

    ??? cite

        Grover, Wang, Zweig and Ermon, "Stochastic optimization of sorting networks
        via continuous relaxations", ICLR 2019.
    """

    def rows(
        self,
        sample: Sample,
        relaxation: Relaxation,
        positions: Float[Array, " m"] | None,
    ) -> Float[Array, "*batch m n"]:
        ordered = sample.ordered()
        problem = _Scores(ordered).problem(relaxation, positions)
        y = relaxation.solve(problem).value
        return permute(y, invert(ordered.permutation)[..., None, :])

    def row_values(
        self,
        sample: Sample,
        relaxation: Relaxation,
        positions: Float[Array, " m"] | None,
    ) -> Float[Array, "*batch m"]:
        ordered = sample.ordered()
        scores = _Scores(ordered)

        contiguous = positions is None
        places = scores.positions if positions is None else positions

        def some(places):
            problem = scores.problem(relaxation, places, contiguous)
            out = relaxation.expectation(problem, ordered.values[..., None, :])
            return jnp.moveaxis(out, -1, 0)

        def whole():
            out = map_chunks(some, places, row_size=sample.keys.size)
            return jnp.moveaxis(out, 0, -1)

        if not contiguous:
            return whole()
        return scores.by_windows(
            relaxation,
            lambda windows: windows.means(relaxation)[..., : sample.size],
            whole,
        )

    def rank(self, sample: Sample, relaxation: Relaxation) -> Float[Array, "*batch n"]:
        ordered = sample.ordered()
        scores = _Scores(ordered)

        def columns(rows):
            positions, included = rows
            y = relaxation.solve(scores.problem(relaxation, positions, True)).value
            y = y * included[:, None]
            weighted = y * (positions + 1)[:, None]
            return jnp.sum(weighted, axis=-2), jnp.sum(y, axis=-2)

        weighted, total = scores.by_windows(
            relaxation,
            lambda windows: windows.column_sums(relaxation, sample.size),
            lambda: sum_chunks(columns, scores.positions, row_size=sample.keys.size),
        )
        # The columns of the matrix need not add up to 1.
        return ordered.unsort(weighted / total)


_GROUP = 64
"""How many neighbouring rows share one anchor."""


class _Scores(eqx.Module):
    """The scores of NeuralSort's rows, as sums of gaps between sorted values.

    Relative to the element s_b at a position b, the score of element j in row r is
    `2 (r - b) (s_j - s_b) - Q_j` with `Q_j = sum_k (2 (k - b) + 1) (s_{k+1} - s_k)`
    over b <= k < j (and its mirror image for j < b). Near b nothing is large, whereas
    the textbook terms grow with n and leave their difference to rounding.
    """

    ordered: Ordered
    entries: Entries

    def __init__(self, ordered: Ordered):
        self.ordered = ordered
        self.entries = Entries.of(ordered)

    @property
    def positions(self) -> Float[Array, " n"]:
        support = self.ordered.support
        return jnp.arange(support.shape[-1], dtype=support.dtype)

    def by_windows(
        self,
        relaxation: Relaxation,
        narrow: Callable[[Windows], PyTree],
        whole: Callable[[], PyTree],
    ) -> PyTree:
        """`narrow` of the windows of all rows if these suffice, and `whole` if not."""
        n = self.ordered.support.shape[-1]
        size = group_size(n)
        regularizer = relaxation.regularizer
        dense = not (regularizer.exponential or regularizer.reaches_zero())
        if size is None or dense or self.ordered.where is not None:
            return whole()
        windows = Windows.of(self.entries, self.ordered.values, size)
        suffice = windows.suffice(regularizer, relaxation.softness, n)
        return jax.lax.cond(suffice, lambda: narrow(windows), whole)

    def problem(
        self,
        relaxation: Relaxation,
        positions: Float[Array, " m"] | None,
        contiguous: bool = False,
    ) -> SimplexProjection:
        """The rows at some positions; None for all of them."""
        if positions is None:
            positions, contiguous = self.positions, True
        (m,) = positions.shape
        size = min(_GROUP, m) if contiguous else 1
        groups = math.ceil(m / size)
        # The last group is filled up with copies of the last row.
        index = jnp.minimum(jnp.arange(groups * size), m - 1).reshape(groups, size)
        rows = positions[index]
        middle = jax.lax.stop_gradient(jnp.floor(rows[:, size // 2]))
        anchors = middle.astype(jnp.int32)
        distance, q = _from_anchors(self.entries.support, anchors)
        columns = self.positions - middle[:, None]
        entries = jax.tree.map(lambda x: x[..., None, :], self.entries)
        z = entries.scores(rows - middle[:, None], columns, distance, q)
        z = z.reshape(*z.shape[:-3], groups * size, z.shape[-1])[..., :m, :]
        where = self.ordered.where
        return SimplexProjection(
            z,
            relaxation.softness[..., None],
            None if where is None else where[..., None, :],
        )


def _from_anchors(
    s: Float[Array, "*batch n"], anchors: Int[Array, " groups"]
) -> tuple[Float[Array, "*batch groups n"], Float[Array, "*batch groups n"]]:
    """Distances from elements at some positions, and the sums Q_j of gaps to them."""
    offset = jnp.arange(s.shape[-1] - 1) - anchors[:, None]
    gaps = (s[..., 1:] - s[..., :-1])[..., None, :]
    terms = jnp.abs(2 * offset + 1).astype(s.dtype) * gaps
    # To both sides from the anchor, one of them backwards.
    sides = jnp.where(offset >= 0, terms, 0), jnp.where(offset < 0, terms, 0)[..., ::-1]
    above, below = jnp.cumsum(jnp.stack(sides), axis=-1)
    q = pad_last(above, 1, 0) + pad_last(below[..., ::-1], 0, 1)
    return s[..., None, :] - s[..., anchors][..., None], q
