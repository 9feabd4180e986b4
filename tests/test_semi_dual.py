"""How Newton's method on the semi-dual of transport to few columns gets there."""

import jax
import jax.numpy as jnp
import numpy as np
from parametrize import each

from softjax.solvers import SemiDual, TransportProjection, solve

N = 4096


def rows() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {
        "normal": rng.normal(size=N),
        "uniform": rng.uniform(size=N),
        "heavy tails": rng.standard_cauchy(N),
        "ties": np.round(rng.normal(size=N), 1),
        "clusters": 0.01 * rng.normal(size=N) + 100 * rng.integers(0, 3, N),
    }


@each("mode", ["smooth", "c0", "pseudohuber"])
def test_few_steps(mode):
    """Also to an anchor of a tiny mass between large ones, as quantiles have them.

    From potentials 0 it has a thousand times its mass; and what rounding leaves of sums
    of gaps must not move all potentials by so much that their differences are lost.
    """

    @jax.jit
    def of(x, before, softness):
        masses = jnp.stack([before, 1.0, N - 1 - before])
        problem = TransportProjection.on_line(x, np.arange(3) / 2, masses, softness)
        found = solve(problem, mode, SemiDual())
        plan = found.value.astype(jnp.float32)
        return found.steps, found.converged, plan.sum(axis=0), masses

    most = 8 if mode == "smooth" else 30
    for name, x in rows().items():
        for before in (N // 2, N // 100):
            for softness in (0.01, 0.1, 1.0, 10.0):
                *found, masses = of(jnp.float32(x), jnp.float32(before), softness)
                steps, converged, sums = found
                given = name, before, softness, steps
                assert converged, given
                assert steps <= most, given
                np.testing.assert_allclose(sums, masses, rtol=1e-3)
