from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Key, PyTree

from softjax_solvers import Regularizer

from ..._keywords import parse_integer
from ...random._noise import Noise, get_noise
from .._structure import Structure
from ._method import StructuredMethod


class Perturbed(StructuredMethod):
    """Expectation of the best structure of scores with noise added.

    `E argmax_v <scores + softness Z, v>`, of independent Z for all parts, which is the
    gradient of the value, `E max_v <scores + softness Z, v>`: a mean over samples, with
    the noise of the key, the same at each call. No mode says more; but for
    `mode="hard"`, it is ignored.

    The derivative is that of the density of the perturbed scores, times the best
    structures less the best without noise: an unbiased estimate, in softness too, whose
    error falls with the root of the number of samples and is far larger than that of
    the expectation itself.

    **Arguments:**

    - `key`: a key of `jax.random`.
    - `samples`: at least 1. The oracle is called for all of them at a time.
    - `noise`: `"gumbel"`, `"normal"`, `"laplace"`, `"logistic"`, or a
        [`softjax.random.Noise`][].

    **Example:**

        >>> st = sj.structured
        >>> method = st.Perturbed(jax.random.key(0), samples=1000)
        >>> scores = jnp.array([0.2, 1.0, 0.7])
        >>> p = st.argmax(st.KSubset(1), scores, softness=0.5, method=method)
        >>> print(p.round(1))
        [0.1 0.6 0.3]
        >>> print(sj.argmax(scores, softness=0.5).round(1))
        [0.1 0.6 0.3]

    ??? cite

        Berthet et al., "Learning with differentiable perturbed optimizers", NeurIPS
        2020; Papandreou and Yuille, "Perturb-and-MAP random fields", ICCV 2011.
    """

    key: Key[Array, ""]
    samples: int = eqx.field(static=True)
    noise: Noise

    def __init__(
        self, key: Key[Array, ""], samples: int = 100, noise: str | Noise = "gumbel"
    ):
        self.key, self.noise = key, get_noise(noise, "Perturbed")
        self.samples = parse_integer(samples, "Perturbed: samples", 1)

    def check(
        self, structure: Structure, regularizer: Regularizer, solver: Any
    ) -> None:
        if solver is not None:
            raise TypeError(
                f"solver={solver!r}: Perturbed takes means of the oracle's answers. "
                "Only method='marginals' takes solvers."
            )

    def value(
        self,
        structure: Structure,
        scores: PyTree[Array],
        softness: Float[Array, ""],
        regularizer: Regularizer,
        solver: Any,
    ) -> Float[Array, ""]:
        scores = structure.kept(scores)
        return _expected_maximum(scores, softness, structure=structure, method=self)

    def argmax(
        self,
        structure: Structure,
        scores: PyTree[Array],
        softness: Float[Array, ""],
        regularizer: Regularizer,
        solver: Any,
    ) -> PyTree[Array]:
        scores = structure.kept(scores)
        _, unravel = ravel_pytree(scores)
        return unravel(self.draw(structure, scores, softness).marginals)

    def entropy(
        self,
        structure: Structure,
        scores: PyTree[Array],
        softness: Float[Array, ""],
        regularizer: Regularizer,
        solver: Any,
    ) -> Float[Array, ""]:
        # What noise adds to the value: scores, which may be large, are not in it.
        return self.draw(structure, structure.kept(scores), softness).along_noise

    def sample(
        self,
        key: Key[Array, ""],
        structure: Structure,
        scores: PyTree[Array],
        softness: Float[Array, ""],
        regularizer: Regularizer,
        solver: Any,
    ) -> PyTree[Array]:
        z, unravel = ravel_pytree(structure.kept(scores))
        noise = self.noise.sample(key, z.shape, z.dtype)
        return structure.oracle(unravel(z + softness * noise))

    def draw(
        self, structure: Structure, scores: PyTree[Array], softness: Float[Array, ""]
    ) -> _Draws:
        """Best structures of perturbed scores."""
        z, unravel = ravel_pytree(scores)

        def oracle(x):
            return ravel_pytree(structure.oracle(unravel(x)))[0].astype(x.dtype)

        still, width = jax.lax.stop_gradient((z, softness))
        noise = self.noise.sample(self.key, (self.samples, z.size), z.dtype)
        perturbed = still + width * noise
        best = jax.lax.stop_gradient(jax.vmap(oracle)(perturbed))
        center = jax.lax.stop_gradient(oracle(still))
        # (perturbed - z) / softness, constant perturbed, without its rounding.
        moved = (width * noise + (still - z)) / softness
        log = jnp.sum(self.noise.log_density(moved), axis=-1) - z.size * jnp.log(
            softness
        )
        weights = jnp.exp(log - jax.lax.stop_gradient(log))
        return _Draws(perturbed, moved, best, weights, center)


class _Draws(eqx.Module):
    """Samples; their weights are 1, and have the derivatives of their density."""

    perturbed: Float[Array, "m d"]
    noise: Float[Array, "m d"]
    best: Float[Array, "m d"]
    weights: Float[Array, " m"]
    center: Float[Array, " d"]

    @property
    def marginals(self) -> Float[Array, " d"]:
        apart = self.best - self.center
        return self.center + jnp.mean(self.weights[:, None] * apart, axis=0)

    @property
    def maximum(self) -> Float[Array, ""]:
        return jnp.mean(jnp.sum(self.perturbed * self.best, axis=-1))

    @property
    def along_noise(self) -> Float[Array, ""]:
        """The mean of what is added to the maximum, over the softness."""
        still = jnp.mean(jax.lax.stop_gradient(self.noise), axis=0)
        apart = jnp.sum(self.noise * (self.best - self.center), axis=-1)
        # The noise along the center has the same mean whatever the scores are.
        return jnp.sum(still * self.center) + jnp.mean(self.weights * apart)


@eqx.filter_custom_jvp
def _expected_maximum(
    scores: PyTree[Array],
    softness: Float[Array, ""],
    *,
    structure: Structure,
    method: Perturbed,
) -> Float[Array, ""]:
    return method.draw(structure, scores, softness).maximum


# The maximizer of each sample is fixed, by Danskin's theorem, and differentiated from
# the second derivative on.
@_expected_maximum.def_jvp
def _expected_maximum_jvp(primals, tangents, *, structure, method):
    scores, softness = primals
    scores_move, softness_move = tangents
    draws = method.draw(structure, scores, softness)
    out = _expected_maximum(scores, softness, structure=structure, method=method)
    move = jnp.zeros_like(out)
    leaves, moves = (
        jax.tree.leaves(scores),
        jax.tree.leaves(scores_move, is_leaf=lambda x: x is None),
    )
    filled = [
        jnp.zeros_like(x) if m is None else m
        for x, m in zip(leaves, moves, strict=True)
    ]
    flat, _ = ravel_pytree(filled)
    move = move + jnp.sum(draws.marginals * flat)
    if softness_move is not None:
        move = move + draws.along_noise * softness_move
    return out, move
