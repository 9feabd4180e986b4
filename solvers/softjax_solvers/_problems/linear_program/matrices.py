"""Matrices of constraints: of arrays, sparse arrays, operators, and one on another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from ..._kernels.arrays import exact_einsum, working_type
from ..._kernels.double_word import DoubleWord
from ..._kernels.reproducible import leading_pieces
from .matrix import FEW_ROWS, Matrix

if TYPE_CHECKING:
    import lineax as lx


class Dense(Matrix):
    """A matrix given by all its entries, which a batch shares or has its own of."""

    entries: Float[Array, "*#batch m n"]

    @property
    def shape(self):
        rows, columns = self.entries.shape[-2:]
        return rows, columns

    def apply(self, y):
        return exact_einsum("...mn,...n->...m", self.entries, y)

    def apply_transpose(self, x):
        return exact_einsum("...mn,...m->...n", self.entries, x)

    def sizes(self, y):
        return exact_einsum("...mn,...n->...m", jnp.abs(self.entries), jnp.abs(y))

    def dense(self, dtype):
        return self.entries

    def diagonal(self, weight):
        return exact_einsum("...mn,...n->...m", self.entries**2, weight)

    def pieces(self, terms, count, axes):
        shape = self.entries.shape
        flat = self.entries.reshape(*shape[:-2], shape[-2] * shape[-1])
        found = leading_pieces(flat, terms, count)
        others = (1,) * (axes + 1 - len(shape))
        return Dense(found.reshape(len(found), 1, *others, *shape))

    def repeated(self, batch):
        shape = self.entries.shape[-2:]
        entries = jnp.broadcast_to(self.entries, (*batch, *shape))
        return Dense(entries.reshape(-1, *shape))


class Sparse(Matrix):
    """A matrix given by some entries, where those of one place add up."""

    entries: Float[Array, " k"]
    row: Int[Array, " k"]  # beyond the last one for what pads the array
    column: Int[Array, " k"]
    size: tuple[int, int] = eqx.field(static=True)

    @property
    def shape(self):
        return self.size

    def _sum(self, size: int, place: Array, terms: Array) -> Array:
        total = jnp.zeros((*terms.shape[:-1], size), terms.dtype)
        return total.at[..., place].add(terms, mode="drop")

    def _terms(self, y: Array) -> Array:
        return self.entries * y.at[..., self.column].get(mode="fill", fill_value=0)

    def apply(self, y):
        return self._sum(self.size[0], self.row, self._terms(y))

    def sizes(self, y):
        return self._sum(self.size[0], self.row, jnp.abs(self._terms(y)))

    def apply_transpose(self, x):
        taken = x.at[..., self.row].get(mode="fill", fill_value=0)
        return self._sum(self.size[1], self.column, self.entries * taken)

    def dense(self, dtype):
        zeros = jnp.zeros(self.size, dtype)
        return zeros.at[self.row, self.column].add(self.entries, mode="drop")

    def diagonal(self, weight):
        return self._sum(self.size[0], self.row, self.entries * self._terms(weight))

    @property
    def terms(self):
        return self.entries.shape[-1]

    def pieces(self, terms, count, axes):
        found = leading_pieces(self.entries, terms, count)
        found = found.reshape(len(found), *(1,) * axes, self.entries.size)
        return Sparse(found, self.row, self.column, self.size)


class Operator(Matrix):
    """A matrix given by a linear operator of Lineax.

    Its entries are not known, and taken for numbers of few digits where that matters.
    """

    operator: lx.AbstractLinearOperator

    @property
    def shape(self):
        return self.operator.out_size(), self.operator.in_size()

    def apply(self, y):
        return jnp.vectorize(self.operator.mv, signature="(n)->(m)")(y)

    def apply_transpose(self, x):
        transpose = self.operator.transpose()
        return jnp.vectorize(transpose.mv, signature="(m)->(n)")(x)

    def sizes(self, y):
        """Sizes of the sums, as terms are not known."""
        return jnp.abs(self.apply(y))

    def dense(self, dtype):
        return self.operator.as_matrix()

    def diagonal(self, weight):
        shape = (*weight.shape[:-1], self.shape[0])
        return jnp.ones(shape, weight.dtype)

    @property
    def factorizes(self):
        return False


class Stacked(Matrix):
    """Two matrices of as many columns, the first above the second."""

    first: Matrix
    second: Matrix

    @property
    def shape(self):
        (one, columns), (other, _) = self.first.shape, self.second.shape
        return one + other, columns

    def apply(self, y):
        parts = self.first.apply(y), self.second.apply(y)
        return jnp.concatenate(parts, axis=-1)

    def apply_transpose(self, x):
        upper, lower = jnp.split(x, [self.first.shape[0]], axis=-1)
        return self.first.apply_transpose(upper) + self.second.apply_transpose(lower)

    def sizes(self, y):
        parts = self.first.sizes(y), self.second.sizes(y)
        return jnp.concatenate(parts, axis=-1)

    def in_pieces(self, like):
        parts = jnp.split(like, [self.first.shape[0]], axis=-1)
        upper, lower = self.first.in_pieces(parts[0]), self.second.in_pieces(parts[1])
        return Stacked(upper, lower)

    def transpose_terms(self, x):
        rows = self.first.shape[0]
        upper = DoubleWord(*(part[..., :rows] for part in x))
        lower = DoubleWord(*(part[..., rows:] for part in x))
        parts = self.first.transpose_terms(upper), self.second.transpose_terms(lower)
        return jnp.concatenate(parts)

    def dense(self, dtype):
        parts = [part.dense(dtype) for part in (self.first, self.second)]
        batch = jnp.broadcast_shapes(*(x.shape[:-2] for x in parts))
        parts = [jnp.broadcast_to(x, (*batch, *x.shape[-2:])) for x in parts]
        return jnp.concatenate(parts, axis=-2)

    def diagonal(self, weight):
        parts = self.first.diagonal(weight), self.second.diagonal(weight)
        return jnp.concatenate(parts, axis=-1)

    def repeated(self, batch):
        return Stacked(self.first.repeated(batch), self.second.repeated(batch))

    @property
    def factorizes(self):
        parts = self.first.factorizes and self.second.factorizes
        return parts and self.shape[0] <= FEW_ROWS


def as_matrix(value: Any, name: str, z: Float[Array, "*batch n"]) -> Matrix:
    """The matrix that an argument stands for, in the type of z.

    **Raises:** `TypeError` if it stands for none; `ValueError` if its shape does not
    fit to z.
    """
    matrix = _parse(value, name, z)
    columns = matrix.shape[1]
    if columns != z.shape[-1]:
        raise ValueError(
            f"LinearProgram: {name} must have a column for each of the {z.shape[-1]} "
            f"entries of z, got {columns}."
        )
    return matrix


def _parse(value: Any, name: str, z: Array) -> Matrix:
    if isinstance(value, Matrix):
        return value
    if isinstance(value, jax.Array | np.ndarray | list | tuple):
        return _of_entries(value, name, z)
    # Imported only now, as each takes its time.
    import lineax as lx
    from jax.experimental.sparse import BCOO

    if isinstance(value, lx.AbstractLinearOperator):
        return _of_operator(value, name, z)
    if isinstance(value, BCOO):
        return _of_sparse(value, name, z)
    raise TypeError(
        f"LinearProgram: {name} must be an array, a BCOO, an Incidence or a linear "
        f"operator of Lineax, got {value!r}."
    )


def _of_entries(value: Any, name: str, z: Array) -> Matrix:
    entries = jnp.asarray(value, working_type(z.dtype))
    fits = entries.ndim >= 2
    if fits:
        try:
            batch = jnp.broadcast_shapes(entries.shape[:-2], z.shape[:-1])
            fits = batch == z.shape[:-1]
        except ValueError:
            fits = False
    if not fits:
        raise ValueError(
            f"LinearProgram: {name} must be of a shape (m, {z.shape[-1]}), with batch "
            f"axes that broadcast against those of z or none, got {entries.shape} for "
            f"a z of shape {z.shape}."
        )
    return Dense(entries)


def _of_operator(value: Any, name: str, z: Array) -> Matrix:
    dtype = working_type(z.dtype)
    for structure in (value.in_structure(), value.out_structure()):
        shape = getattr(structure, "shape", None)
        if shape is None or len(shape) != 1 or structure.dtype != dtype:
            raise ValueError(
                f"LinearProgram: {name} must be an operator between vectors of the "
                f"type of z, as that is computed in, {dtype}, got one with {structure}."
            )
    return Operator(value)


def _of_sparse(value: Any, name: str, z: Array) -> Matrix:
    if value.n_sparse != 2 or value.ndim != 2:
        raise ValueError(
            f"LinearProgram: {name} must be a BCOO of two sparse axes and no others, "
            f"got {value!r}. jax.vmap takes a batch of them."
        )
    rows, columns = value.shape
    row, column = value.indices[:, 0], value.indices[:, 1]
    data = value.data.astype(working_type(z.dtype))
    return Sparse(data, row, column, (rows, columns))
