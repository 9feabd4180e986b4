"""Set-up of all tests: the compilation cache, hypothesis, 64-bit numbers."""

import gc
import os
import zlib
from importlib.metadata import version
from pathlib import Path

# Programs here are small and run a few times, so compiling them is what takes time.
# What users run is what XLA makes of them by default: see the marker `defaults`. Flags
# are part of the keys of the compilation cache, so that the two do not mix.
# Before JAX is imported, which reads this once, and dies of a flag it does not know.
os.environ["XLA_FLAGS"] = " ".join(
    [
        *[
            "--xla_backend_optimization_level=0",
            "--xla_llvm_disable_expensive_passes=true",
            "--xla_cpu_parallel_codegen_split_count=1",
            *["--xla_cpu_use_fusion_emitters=false"]
            * version("jaxlib").startswith("0.10."),
        ]
        * (not os.environ.get("SOFTJAX_TEST_DEFAULTS")),
        os.environ.get("XLA_FLAGS", ""),
    ]
)


import hypothesis
import jax
import pytest

# Most of the time of these tests is compilation. Every program that is compiled is
# kept, for the next run and for the other workers of this one; 64-bit programs, inside
# the `enable_x64` context too, have keys of their own.
_CACHE = Path(__file__).parent.parent / ".pytest_cache" / "jax"
jax.config.update(
    "jax_compilation_cache_dir",
    os.environ.get("JAX_COMPILATION_CACHE_DIR", str(_CACHE)),
)
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)

# Tracing makes many small objects that live for long, and looking for cycles among
# them at Python's own thresholds takes a fifth of the time.
gc.set_threshold(50_000, 20, 50)

_common = dict(
    deadline=None,  # the first example compiles
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.register_profile(
    "default", max_examples=15, derandomize=True, **_common
)
hypothesis.settings.register_profile("thorough", max_examples=300, **_common)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


def pytest_addoption(parser):
    parser.addoption(
        "--part",
        default="0/1",
        metavar="I/N",
        help="run part I of N equal ones of the tests, each with a fixed part",
    )


def pytest_collection_modifyitems(config, items):
    part, parts = map(int, config.getoption("--part").split("/"))
    kept, left_out = [], []
    for item in items:
        mine = zlib.crc32(item.nodeid.encode()) % parts == part % parts
        (kept if mine else left_out).append(item)
    if left_out:
        items[:] = kept
        config.hook.pytest_deselected(items=left_out)


@pytest.fixture
def x64():
    """Run the test with 64-bit numbers, whatever the process is set to."""
    with jax.enable_x64(True):
        yield
