"""Transport of many points on a line by as many nodes as it takes."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles.line import dense_line_gradients, dense_line_plan

import softjax as sj
import softjax.methods._line as line
import softjax_solvers._kernels.box_bands as box_bands
from softjax_solvers.internal import BoxedTransport, CompressedTransport, MeanPlaces

N = 300
ENTROPY = sj.solvers.Entropy()
rng = np.random.default_rng(0)
INPUTS = {
    "normal": rng.normal(size=N),
    "clusters": np.append(rng.normal(size=150) / 100, 3 + rng.normal(size=150) / 10),
    "ties": np.where(rng.uniform(size=N) < 0.5, 0.3, rng.uniform(size=N)),
    "cauchy": rng.standard_cauchy(size=N),
}
WEIGHTS = np.cos(np.arange(N))


@pytest.fixture(autouse=True)
def several_chunks(monkeypatch):
    """Few boxes are taken at once, as of long rows."""
    monkeypatch.setattr(box_bands, "_CHUNK", 8)


def boxed(x, softness):
    nodes = CompressedTransport.on_line(x, softness, ENTROPY, -(-N // 16))
    problem = BoxedTransport(nodes)
    found = sj.solvers.solve(problem, ENTROPY)
    values = found.read(sj.solvers.ColumnMeans(x))
    places = found.read(MeanPlaces(jnp.zeros(1, jnp.int32))) / (N - 1)
    return values, places, found.converged


@jax.jit
def results(x, softness):
    """Values and places, how they change by both modes, and whether they converged."""
    weights = jnp.asarray(WEIGHTS, x.dtype)

    def read(x, softness):
        values, places, converged = boxed(x, softness)
        out = jnp.stack([values, places])
        return out @ weights, (out, converged)

    pullback, (out, converged) = jax.vjp(read, x, softness, has_aux=True)[1:]
    of_x, of_softness = jax.vmap(pullback)(jnp.eye(2, dtype=x.dtype))
    one = jnp.ones_like(softness)
    forward = jax.jvp(lambda softness: read(x, softness)[0], (softness,), (one,))[1]
    return out, of_x, jnp.stack([of_softness, forward]), converged


def close(got, want, error):
    np.testing.assert_allclose(got, want, atol=error * max(1, abs(want)))


@pytest.mark.slow
@pytest.mark.parametrize("softness", [1.0, 0.1, 0.01, 0.001, 1e-5])
@pytest.mark.parametrize("name", list(INPUTS))
def test_against_dense_plans(name, softness):
    x = np.sort(INPUTS[name]).astype(np.float32)
    plan = dense_line_plan(x, softness)
    slopes = dense_line_gradients(x, plan, softness, WEIGHTS)
    out, of_x, of_softness, converged = results(x, jnp.float32(softness))
    assert converged
    np.testing.assert_allclose(out[0], plan.T @ x, atol=float(1e-5 * np.ptp(x)))
    # Costs of neighbours are hundreds where the softness is the smallest.
    error = 1e-5 if softness > 1e-4 else 2e-5
    np.testing.assert_allclose(out[1], plan @ np.linspace(0, 1, N), atol=error)
    if softness < 0.001:
        return  # Derivatives are too large for 32 bits.
    for i, kind in enumerate(("values", "places")):
        largest = abs(slopes[kind]).max()
        np.testing.assert_allclose(of_x[i], slopes[kind], atol=5e-3 * largest)
        # Costs of far points, by which terms are off, over the softness.
        error = max(1e-3, 2e-8 * np.ptp(x) / softness)
        close(of_softness[:, i], slopes[f"{kind} softness"], error)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["clusters", "cauchy"])
def test_exact_up_to_rounding(name, x64):
    x, softness = np.sort(INPUTS[name]), 0.01
    plan = dense_line_plan(x, softness)
    slopes = dense_line_gradients(x, plan, softness, WEIGHTS)
    out, of_x, of_softness, converged = results(x, jnp.float64(softness))
    assert converged
    np.testing.assert_allclose(out[0], plan.T @ x, atol=1e-9 * np.ptp(x))
    for i, kind in enumerate(("values", "places")):
        largest = abs(slopes[kind]).max()
        np.testing.assert_allclose(of_x[i], slopes[kind], atol=1e-6 * largest)
        close(of_softness[:, i], slopes[f"{kind} softness"], 1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["values", "places"])
def test_second_derivatives(kind, x64):
    x, softness = np.sort(INPUTS["normal"]), 0.1
    move, step = (np.sin(np.arange(N)), 0.3), 1e-5

    def slope(x, softness):
        def total(x, softness):
            values, places, _ = boxed(x, softness)
            return jnp.vdot(WEIGHTS, values if kind == "values" else places)

        return jax.grad(total, argnums=(0, 1))(x, softness)

    moves = jnp.asarray(move[0]), jnp.asarray(move[1])
    got = jax.jit(lambda *args: jax.jvp(slope, args, moves)[1])(x, softness)

    def end(sign):
        moved, warmer = x + sign * step * move[0], softness + sign * step * move[1]
        plan = dense_line_plan(moved, warmer)
        slopes = dense_line_gradients(moved, plan, warmer, WEIGHTS)
        return slopes[kind], slopes[f"{kind} softness"]

    for here, up, down in zip(got, end(1), end(-1), strict=True):
        want = (up - down) / (2 * step)
        np.testing.assert_allclose(here, want, atol=1e-4 * np.max(abs(want)))


@pytest.fixture
def without_dense_plans(monkeypatch):
    """Operators of short rows as beyond 4096 elements."""
    monkeypatch.setattr(line, "_DENSE", 0)
    monkeypatch.setattr(line, "_boxes", lambda n: 5)


@pytest.mark.slow
@pytest.mark.usefixtures("without_dense_plans")
def test_where_few_nodes_do_not_do():
    # Between two clusters, an anchor changes sides over a small part of the softness.
    n = 610
    x = np.append(rng.normal(size=n // 2) / 100, 3 + rng.normal(size=n // 2) / 10)
    x = rng.permutation(x).astype(np.float32)
    out = sj.sort(x, softness=0.001, method="ot")
    plan = dense_line_plan(np.sort(x), 0.001)
    np.testing.assert_allclose(out, plan.T @ np.sort(x), atol=3e-5)


@pytest.mark.slow
@pytest.mark.usefixtures("without_dense_plans")
def test_batches():
    n = 520
    rows = rng.standard_cauchy(size=(2, n)).astype(np.float32)
    soft = functools.partial(sj.sort, softness=0.1, method="ot")
    mapped = jax.jit(jax.vmap(soft))(rows)
    extent = float(np.ptp(rows))
    np.testing.assert_allclose(soft(rows), mapped, atol=1e-5 * extent)
    np.testing.assert_allclose(soft(rows[1]), mapped[1], atol=1e-5 * extent)


@pytest.mark.slow
@pytest.mark.usefixtures("without_dense_plans")
def test_shard_map():
    """Loops keep the types that arrays have inside, which `jax.shard_map` checks."""
    x = rng.standard_cauchy(size=(1, 520)).astype(np.float32)

    @jax.grad
    def slope(x):
        return jnp.sum(jnp.sin(sj.sort(x, softness=0.1, method="ot")))

    mesh = jax.sharding.Mesh(np.asarray(jax.devices()[:1]), ("batch",))
    spec = jax.sharding.PartitionSpec("batch")
    mapped = jax.shard_map(slope, mesh=mesh, in_specs=spec, out_specs=spec)
    np.testing.assert_allclose(jax.jit(mapped)(x), jax.jit(slope)(x), atol=1e-4)
