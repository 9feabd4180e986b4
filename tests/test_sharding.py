"""A batch on eight devices: each works on its rows, and none waits for another."""

import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import METHODS, OPERATORS, REGULARIZERS
from facts import has
from parametrize import each_pair, pick

# Operators whose results have the batch as the first axis.
NAMES = ["sort", "rank", "max", "argmax", "argsort", "median", "argmedian"]
NAMES += ["percentile", "top_k_values", "top_k_index", "top_k_mask"]
FAST = ("sort", "argmax")

# What XLA's partitioner distributes without any communication, of mode "smooth".
BY_ROWS = ["sort", "rank", "argsort", "argmax", "max", "median", "top_k_values"]
ALONE = {
    "softsort": BY_ROWS,
    "neuralsort": BY_ROWS,
    "sorting_network": ["sort", "rank", "argmax", "top_k_values"],
    "fast_soft_sort": ["sort", "rank", "max", "median", "top_k_values"],
    "smooth_sort": ["sort", "rank", "max", "top_k_values"],
}


def run(how: str, method: str, mode: str, names: list[str]) -> dict[str, dict]:
    """Name of an operator -> its collectives, and how far it is from one device."""
    environment = os.environ | {
        "JAX_COMPILATION_CACHE_DIR": jax.config.jax_compilation_cache_dir or "",
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    script = Path(__file__).with_name("sharding.py")
    done = subprocess.run(
        [sys.executable, str(script), how, method, mode, *names],
        capture_output=True,
        text=True,
        env=environment,
    )
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    return json.loads(done.stdout.splitlines()[-1])


def check(found: dict[str, dict]) -> None:
    assert {name: each["collectives"] for name, each in found.items()} == {
        name: [] for name in found
    }
    assert all(each["difference"] < 1e-5 for each in found.values())


# Where the types of arrays say how they are distributed, each device has a program of
# its own, as inside `jax.shard_map`.
# Each is a process of its own, of five seconds.
@each_pair(
    pick(REGULARIZERS, "smooth", "c0"),
    dict.fromkeys(METHODS) | {"softsort": "smooth"},
)
def test_explicit_axes(case, method):
    names = [each.name for each in pick(OPERATORS, *FAST) if has(method, each)]
    check(run("explicit", method, case.name, names))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "mode"), [("softsort", "c0"), ("neuralsort", "smooth"), ("ot", "c0")]
)
def test_explicit_axes_of_weighted_rows(method, mode):
    names = ["sort", "rank", "argmax", "median"]
    if method == "neuralsort":
        names.remove("rank")  # which it takes no weights for
    check(run("explicit+weights", method, mode, names))


@pytest.mark.slow
@each_pair(pick(REGULARIZERS, "smooth", "c1", "quintic"))
def test_explicit_axes_of_others(case, method):
    names = [each.name for each in pick(OPERATORS, *NAMES) if has(method, each)]
    check(run("explicit", method, case.name, names))


@each_pair(
    pick(REGULARIZERS, "smooth", "c0", "c1", "quintic"),
    dict.fromkeys(METHODS),
)
def test_shard_map(case, method):
    names = [each.name for each in pick(OPERATORS, *FAST) if has(method, each)]
    check(run("checked", method, case.name, names))


@pytest.mark.slow
@each_pair(pick(REGULARIZERS, "smooth", "c0"))
def test_shard_map_of_others(case, method):
    names = [each.name for each in pick(OPERATORS, *NAMES) if has(method, each)]
    others = [name for name in names if name not in FAST]
    check(run("checked", method, case.name, others))


@each_pair(
    pick(REGULARIZERS, "smooth", "c0", "c1"),
    dict.fromkeys(METHODS) | {"neuralsort": "smooth"},
)
def test_shard_map_of_long_rows(case, method):
    """Types of arrays that may differ between devices are kept, in derivatives too."""
    mesh = jax.sharding.Mesh(np.asarray(jax.devices()[:1]), ("batch",))
    spec = jax.sharding.PartitionSpec("batch")
    for operator in pick(OPERATORS, "sort", "rank", "max", "median", "top_k_values"):
        if not has(method, operator):
            continue

        @jax.grad
        def slope(x, operator=operator):
            return jnp.sum(jnp.sin(operator.call(x, method=method, mode=case.mode)))

        mapped = jax.shard_map(slope, mesh=mesh, in_specs=spec, out_specs=spec)
        jax.jit(mapped).lower(jnp.zeros((1, 600)))


@pytest.mark.slow
def test_partitioner():
    check(run("partitioner", "softsort", "smooth", ["sort", "argmax"]))


@pytest.mark.slow
@pytest.mark.parametrize("method", ALONE)
def test_partitioner_with_others(method):
    check(run("partitioner", method, "smooth", ALONE[method]))


@pytest.mark.xfail(
    raises=AssertionError,
    reason="loops and branches ask all rows at once whether to go on",
)
@pytest.mark.parametrize(
    ("method", "mode", "name"),
    [
        pytest.param("softsort", "smooth", "top_k_mask", marks=pytest.mark.slow),
        pytest.param("softsort", "c0", "argmax", marks=pytest.mark.slow),
    ],
)
def test_partitioner_reduces(method, mode, name):
    check(run("partitioner", method, mode, [name]))
