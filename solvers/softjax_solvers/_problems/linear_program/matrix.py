"""The interface of a matrix of constraints."""

from __future__ import annotations

import abc
import math
from typing import Self

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ..._kernels.arrays import exact_einsum
from ..._kernels.double_word import DoubleWord
from ..._kernels.reproducible import leading_pieces

FEW_ROWS = 128
"""Largest number of rows with which a factorization beats conjugate gradients."""


class Matrix(eqx.Module):
    """A matrix of m rows and n columns, by its products with vectors.

    One for all programs of a batch, unless an implementation says otherwise.
    """

    @property
    @abc.abstractmethod
    def shape(self) -> tuple[int, int]:
        """The number of rows and the number of columns."""

    @abc.abstractmethod
    def apply(self, y: Float[Array, "*batch n"]) -> Float[Array, "*batch m"]:
        """The product `K y`."""

    @abc.abstractmethod
    def apply_transpose(self, x: Float[Array, "*batch m"]) -> Float[Array, "*batch n"]:
        """The product `K^T x`."""

    @abc.abstractmethod
    def sizes(self, y: Float[Array, "*batch n"]) -> Float[Array, "*batch m"]:
        """Sums of the sizes of the terms of `K y`, of which its rounding is a part."""

    @abc.abstractmethod
    def dense(self, dtype: jnp.dtype) -> Float[Array, "*#batch m n"]:
        """The entries of the matrix."""

    @abc.abstractmethod
    def diagonal(self, weight: Float[Array, "*batch n"]) -> Float[Array, "*batch m"]:
        """The diagonal of `K diag(weight) K^T`, or ones where it is not known."""

    # What follows are defaults, meant to be overridden by what is known better.

    @property
    def factorizes(self) -> bool:
        """Whether systems of `K diag(weight) K^T` are best solved by its factors."""
        return self.shape[0] <= FEW_ROWS

    @property
    def terms(self) -> int:
        """The largest number of terms of an entry of `K^T x`."""
        return self.shape[0]

    def pieces(self, terms: int, count: int, axes: int) -> Matrix:
        """The `leading_pieces` of the entries, along an axis before `axes` others.

        Default: itself, whose entries are of few digits.
        """
        return self

    def in_pieces(self, like: Float[Array, "*batch m"]) -> Matrix:
        """The matrix as `transpose_terms` takes it, for arguments as `like`."""
        room, count = self.room(like)
        return self.pieces(2**room, count, like.ndim)

    def room(self, like: Array) -> tuple[int, int]:
        """Digits that a product of pieces leaves for sums, and the number of pieces."""
        digits = jnp.finfo(like.dtype).nmant
        room = (digits + self.terms.bit_length() + 1) // 2
        return room, -(-(digits + 1) // (digits - room))

    def transpose_terms(self, x: DoubleWord) -> Float[Array, "k *batch n"]:
        """Numbers that add up to `K^T x` to twice the digits, of a K `in_pieces`.

        Sums of products of pieces are exact; those of what is left, of the size of the
        last digit, are rounded.
        """
        room, count = self.room(x.high)
        parts = [*leading_pieces(x.high, 2**room, count), x.low]
        products = self.apply_transpose(jnp.stack(parts))
        shape = *x.high.shape[:-1], products.shape[-1]
        number = math.prod(products.shape[: products.ndim - len(shape)])
        return products.reshape(number, *shape)

    def gram(self, weight: Float[Array, "*batch n"]) -> Float[Array, "*batch m m"]:
        """The matrix `K diag(weight) K^T`. Default: of the dense K."""
        dense = self.dense(weight.dtype)
        weighted = dense * weight[..., None, :]
        return exact_einsum("...mn,...kn->...mk", weighted, dense)

    def repeated(self, batch: tuple[int, ...]) -> Self:
        """One matrix for each program of a batch, along a single leading axis."""
        size = 1
        for length in batch:
            size *= length
        return jax.tree.map(
            lambda x: jnp.broadcast_to(x, (size, *x.shape)) if eqx.is_array(x) else x,
            self,
        )
