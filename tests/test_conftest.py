"""The tests' own set-up."""

import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax._src import cache_key, compiler


@pytest.mark.defaults
def test_flags_are_those_that_were_asked_for():
    quickly = "--xla_backend_optimization_level=0" in os.environ["XLA_FLAGS"]
    assert quickly != bool(os.environ.get("SOFTJAX_TEST_DEFAULTS"))


def test_programs_of_other_flags_have_other_keys(monkeypatch):
    """In the compilation cache, which all runs of the tests share."""
    device = jax.devices()[0]
    module = jax.jit(jnp.sin).lower(jnp.ones(3)).compiler_ir("stablehlo")
    options = compiler.get_compile_options(num_replicas=1, num_partitions=1)

    def key(flags):
        monkeypatch.setenv("XLA_FLAGS", flags)
        return cache_key.get(module, np.array([device]), options, device.client)

    flags = "--xla_backend_optimization_level=0"
    assert key(flags) == key(flags) != key("")
