"""Collectives of programs that run on eight devices, for `test_sharding.py`.

A program of its own, as the number of devices is settled when JAX starts. Called with
how to distribute a batch (of weighted elements, if that ends with "+weights"), a
method, a mode and names of operators, it prints for each of them the collectives of the
program of value and derivative, and how far its results are from those on one device.
"""

import functools
import json
import os
import re
import sys
from collections.abc import Callable

os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["XLA_FLAGS"] = (
    os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=8"
)

import cases
import jax
import numpy as np
import parametrize
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

DEVICES = 8
COLLECTIVE = re.compile(
    r"\b(all-reduce|all-gather|all-to-all|collective-permute|collective-broadcast"
    r"|reduce-scatter|ragged-all-to-all)(?:-start)?\("
)
BATCH = PartitionSpec("batch")


def distribute(how: str, fn: Callable, mesh: Mesh) -> Callable:
    """Distribute a function by the types of its arrays, which say how on explicit axes;
    by XLA's partitioner; or by `jax.shard_map`, with its checks."""
    if how in ("explicit", "partitioner"):
        return fn
    assert how == "checked"
    return jax.shard_map(fn, mesh=mesh, in_specs=BATCH, out_specs=BATCH)


def compare(how: str, operator: Callable) -> dict:
    types = (AxisType.Explicit if how == "explicit" else AxisType.Auto,)
    mesh = Mesh(np.asarray(jax.devices()), ("batch",), axis_types=types)
    shape = 2 * DEVICES, 12
    x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    softness = np.linspace(0.2, 0.4, 2 * DEVICES, dtype=np.float32)[:, None]
    out = jax.eval_shape(operator, x, softness)
    weights = np.cos(np.arange(out.size, dtype=np.float32)).reshape(out.shape)

    def both(x, softness, weights):
        value, transpose = jax.vjp(operator, x, softness)
        return value, *transpose(weights)

    args = x, softness, weights
    sharded = jax.device_put(args, NamedSharding(mesh, BATCH))
    assert all(len(each.sharding.device_set) == DEVICES for each in sharded)
    program = jax.jit(distribute(how, both, mesh)).lower(*sharded).compile()
    found = [np.asarray(each) for each in program(*sharded)]
    expected = [np.asarray(each) for each in jax.jit(both)(*args)]
    return dict(
        collectives=COLLECTIVE.findall(program.as_text()),
        # NumPy's maximum is NaN if anything is.
        difference=np.max(
            [
                np.max(np.abs(f - e)) / np.maximum(1, np.max(np.abs(e)))
                for f, e in zip(found, expected, strict=True)
            ]
        ).item(),
    )


def main() -> None:
    how, method, name, *operators = sys.argv[1:]
    (case,) = parametrize.pick(cases.ALL_REGULARIZERS, name)
    keywords = dict(mode=case.mode, method=method)
    weighted = how.endswith("+weights")

    def operate(call, x, softness):
        weights = dict(weights=jax.nn.softmax(x) * x.shape[-1]) if weighted else {}
        return call(x, softness=softness, **weights, **keywords)

    found = {
        operator.name: compare(
            how.removesuffix("+weights"), functools.partial(operate, operator.call)
        )
        for operator in parametrize.pick(cases.OPERATORS, *operators)
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
