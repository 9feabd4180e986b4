"""Programs for accelerators: exported, in few parallel steps, without the host."""

import exported
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import METHODS, OPERATORS, REGULARIZERS, Case, Operator
from facts import has, takes
from parametrize import pick

N = 1024
MOST = 128
"""Steps of a loop: above log2(N)^2, and what Newton's method may take."""

LONG = ("smooth_sort",)
"""Methods that take n steps of O(n) operations each, by what they are defined by."""

WINDOWED = ("softsort", "neuralsort")
"""Methods with loops over the distances of neighbours that matter to each other.

Sparse plans of optimal transport have them too: sums over the band where they are not
0, which is as wide as half a row at most.
"""

MODES = pick(REGULARIZERS, "smooth", "c0", "c1", "c2")
FAST = ("argmax-ot-c0", "sort-softsort-smooth", "rank-fast_soft_sort-c1")

PROGRAMS = [
    pytest.param(
        *(operator, method, case),
        id=name,
        marks=[] if name in FAST else [pytest.mark.slow],
    )
    for operator in OPERATORS
    for method in METHODS
    for case in MODES
    if has(method, operator) and takes(method, case)
    for name in [f"{operator.name}-{method}-{case.name}"]
]


@pytest.mark.parametrize(("operator", "method", "case"), PROGRAMS)
def test_steps(operator: Operator, method: str, case: Case):
    """Values and gradients: no callback, and no loop over single elements."""

    def loss(x):
        return jnp.sum(operator.call(x, method=method, mode=case.mode) ** 2)

    module = exported.lowered(jax.value_and_grad(loss), np.zeros(N, np.float32))
    assert exported.callbacks(module) == []
    banded = method == "ot" and case.name != "smooth"
    windows = method in WINDOWED or banded
    windows &= operator.kind in ("value", "rank")
    most = N if method in LONG else N // 2 if banded else MOST
    for loop in exported.loops(module):
        assert loop.single < N
        if loop.steps is None:
            assert windows
        else:
            assert loop.steps <= most


def test_exported_programs_are_for_both():
    """An exported program is the module that the other tests look into."""
    (sort,) = pick(OPERATORS, "sort")

    def fn(x):
        return sort.call(x)

    program = jax.export.export(jax.jit(fn), platforms=exported.PLATFORMS)
    program = program(jax.ShapeDtypeStruct((N,), jnp.float32))
    assert program.platforms == exported.PLATFORMS
    text = program.mlir_module()
    loops = exported.loops(exported.lowered(fn, np.zeros(N, np.float32)))
    assert text.count("stablehlo.while") == len(loops) > 0


def test_loops_that_would_be_found():
    """Over single elements, doubling, of a traced length, and a callback."""

    def running(x):
        def step(i, state):
            total, out = state
            total = total + x[i]
            return total, out.at[i].set(total)

        return jax.lax.fori_loop(0, N, step, (x[0], x))[1]

    def doubling(x):
        state = jnp.ones((), jnp.int32), x
        double = lambda s: (2 * s[0], s[1] + jnp.roll(s[1], 1))  # noqa: E731
        return jax.lax.while_loop(lambda s: s[0] < N, double, state)[1]

    def traced(x):
        most = jnp.sum(x > 0)
        return jax.lax.fori_loop(0, most, lambda i, x: x + 1, x)

    def host(x):
        shape = jax.ShapeDtypeStruct(x.shape, x.dtype)
        return jax.pure_callback(np.sin, shape, x)

    x = np.zeros(N, np.float32)
    found = [exported.loops(exported.lowered(fn, x)) for fn in (doubling, traced)]
    assert found == [[exported.Loop(10, 0)], [exported.Loop(None, 0)]]
    (loop,) = exported.loops(exported.lowered(running, x))
    assert (loop.steps, loop.single) == (N, N)
    # Without a device of another kind, callbacks are lowered for this one only.
    module = jax.jit(host).lower(x).compiler_ir("stablehlo")
    assert exported.callbacks(module)
