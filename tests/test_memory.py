"""Memory that programs need, as the compiler counts it: none of them is run."""

import jax
import jax.numpy as jnp
import pytest
from cases import METHODS, OPERATORS, REGULARIZERS
from facts import has
from parametrize import each, each_pair, pick

import softjax as sj

SIZE = 1_000_000
LIMIT = 1e9

# Operator, mode and method whose memory is in proportion to n.
LINEAR = [
    ("sort", "smooth", "softsort"),
    ("rank", "smooth", "softsort"),
    ("sort", "c0", "softsort"),
    ("sort", "smooth", "fast_soft_sort"),
    ("sort", "c0", "fast_soft_sort"),
    ("rank", "smooth", "fast_soft_sort"),
    ("rank", "c0", "fast_soft_sort"),
    ("sort", "smooth", "ot"),
]


def peak(operator, size=SIZE, **keywords) -> int:
    """Bytes of a value and its gradient, with arguments and results."""
    x = jax.ShapeDtypeStruct((size,), jnp.float32)

    def loss(x, weights):
        return jnp.vdot(operator(x, **keywords), weights)

    compiled = jax.jit(jax.value_and_grad(loss)).lower(x, x).compile()
    used = compiled.memory_analysis()
    assert used is not None
    return (
        used.temp_size_in_bytes
        + used.argument_size_in_bytes
        + used.output_size_in_bytes
        - used.alias_size_in_bytes
    )


@pytest.mark.parametrize(
    ("operator", "mode", "method"),
    [
        pytest.param(
            *row, marks=[pytest.mark.slow] * (row[0] == "rank" or row[2] == "ot")
        )
        for row in LINEAR
    ],
)
def test_a_million_numbers(operator, mode, method):
    assert peak(getattr(sj, operator), mode=mode, method=method) < LIMIT


@each("operator", [sj.sort, sj.rank], fast=("sort",))
def test_quadratic_time_in_linear_memory(operator):
    size = 10_000
    assert peak(operator, size, method="smooth_sort") < 300 * size


@each_pair(pick(REGULARIZERS, "smooth", "c0"), dict.fromkeys(METHODS))
def test_constants_do_not_grow(case, method):
    """Programs hold no arrays of a size that is more than in proportion to n."""
    x = jax.ShapeDtypeStruct((2**16,), jnp.float32)
    names = ["sort", "rank", "max", "top_k_values", "median", "argmedian", "top_k_mask"]
    for operator in pick(OPERATORS, *names):
        if has(method, operator):

            def loss(x, operator=operator):
                out = operator.call(x, mode=case.mode, method=method, softness=0.1)
                return jnp.sum(jnp.sin(out))

            program = jax.export.export(jax.jit(jax.value_and_grad(loss)))(x)
            assert len(program.mlir_module_serialized) < 2**22, operator.name
