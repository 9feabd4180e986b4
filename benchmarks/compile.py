"""Processor seconds to trace, lower and compile each operator and its gradient.

`python -m benchmarks.compile` prints one line a program, and a summary at the end.
Seconds are of the processor, so that other load on the machine hardly moves them.
Imports, and what is done once in a process, are not in them. With `--cache`, programs
come from JAX's cache on disk instead: what a second process waits for.
"""

import argparse
import gc
import itertools
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

# Scripts of this folder import each other by their names.
sys.path.insert(0, str(Path(__file__).parent))

import jax
import numpy as np
from _cases import HERE, KINDS, METHODS, MODES, OPS, Case, cases
from _libraries import build

SOFTNESS = 0.1
LIMITS = {"smooth": 1.0}
"""Seconds that a gradient may take, by mode."""
LIMIT = 2.0
"""Seconds that any other may."""
WARM = 0.7
"""Seconds that any may with a warm cache."""


class Stages(NamedTuple):
    """Seconds to trace, lower and compile; equations of the jaxpr, and its kernels."""

    trace: float
    lower: float
    compile: float
    equations: int
    kernels: int

    @property
    def total(self) -> float:
        return self.trace + self.lower + self.compile


def stages(case: Case, kind: str, n: int) -> Stages | None:
    """The stages of one program, None if there is no such gradient."""
    x = np.random.default_rng(0).standard_normal((1, n)).astype(np.float32)
    fn = build(HERE, case, SOFTNESS)
    out = jax.eval_shape(fn, x)
    arguments: tuple = (x,)
    if kind == "gradient":
        if not jax.numpy.issubdtype(out.dtype, jax.numpy.floating):
            return None
        arguments = x, np.ones(out.shape, out.dtype)
        fn = jax.value_and_grad(lambda x, weights, fn=fn: (fn(x) * weights).sum())
    jax.clear_caches()
    # Objects from before are not searched for garbage while time is measured.
    gc.collect()
    gc.freeze()
    marks = [time.process_time()]
    traced = jax.jit(fn).trace(*arguments)
    marks.append(time.process_time())
    lowered = traced.lower()
    marks.append(time.process_time())
    compiled = lowered.compile()
    marks.append(time.process_time())
    gc.unfreeze()
    text = compiled.as_text() or ""
    entry = text[text.find("\nENTRY") :]
    trace, lower, compilation = (
        after - before for before, after in itertools.pairwise(marks)
    )
    counts = _equations(traced.jaxpr), entry.count(" fusion(")
    return Stages(trace, lower, compilation, *counts)


def _equations(jaxpr) -> int:
    """Number of equations of a jaxpr and of all within it."""
    jaxpr = getattr(jaxpr, "jaxpr", jaxpr)
    inner = [
        part
        for equation in jaxpr.eqns
        for parameter in equation.params.values()
        for part in (parameter if isinstance(parameter, tuple | list) else [parameter])
        if hasattr(part, "eqns") or hasattr(part, "jaxpr")
    ]
    return len(jaxpr.eqns) + sum(map(_equations, inner))


def _limit(case: Case, warm: bool) -> float:
    return WARM if warm else LIMITS.get(case.mode, LIMIT)


def measure(chosen: list[Case], kinds: list[str], n: int, warm: bool, repeats: int):
    """The fastest of so many measurements of each program, as it is printed."""
    measured: dict[tuple[Case, str], Stages] = {}
    stages(Case("max", "softsort", "smooth"), "gradient", 8)
    for case in chosen:
        for kind in kinds:
            if warm:
                stages(case, kind, n)
            found = [s for _ in range(repeats) if (s := stages(case, kind, n))]
            if not found:
                continue
            best = measured[case, kind] = min(found, key=lambda s: s.total)
            seconds = "".join(f"{s:8.2f}" for s in (*best[:3], best.total))
            late = kind == "gradient" and best.total > _limit(case, warm)
            label = f"{case.op:<12} {case.method:<16} {case.mode:<7} {kind:<9}"
            counts = f"{best.equations:10}{best.kernels:8}"
            print(label + seconds + counts + ("  over" if late else ""), flush=True)
    return measured


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ops", nargs="+", default=OPS, choices=OPS)
    parser.add_argument("--methods", nargs="+", default=METHODS, choices=METHODS)
    parser.add_argument("--modes", nargs="+", default=MODES)
    parser.add_argument("--kinds", nargs="+", default=KINDS, choices=KINDS)
    parser.add_argument("--size", type=int, default=1024)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--cache", action="store_true", help="a warm cache on disk")
    parser.add_argument("--json", help="a file for the seconds")
    given = parser.parse_args()
    chosen = cases(tuple(given.ops), tuple(given.methods), tuple(given.modes))
    heads = "".join(f"{name:>8}" for name in ("trace", "lower", "compile", "total"))
    label = f"{'operator':<12} {'method':<16} {'mode':<7} {'':<9}"
    print(label + heads + f"{'equations':>10}{'kernels':>8}")
    with tempfile.TemporaryDirectory() as folder:
        # What the caller has in the environment must not shorten anything.
        jax.config.update("jax_compilation_cache_dir", folder if given.cache else None)
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
        options = given.size, given.cache, given.repeats
        measured = measure(chosen, given.kinds, *options)
    for kind in given.kinds:
        found = {case: s for (case, of), s in measured.items() if of == kind}
        if not found:
            continue
        totals = [s.total for s in found.values()]
        middle, longest = statistics.median(totals), max(totals)
        spread = f"median {middle:.2f} s, longest {longest:.2f} s"
        print(f"{len(totals)} of {kind}: {spread}")
        if kind == "gradient":
            late = [c for c, s in found.items() if s.total > _limit(c, given.cache)]
            print(f"{len(late)} over their limit")
    if given.json:
        rows = [[*case, kind, *s] for (case, kind), s in measured.items()]
        Path(given.json).write_text(json.dumps(rows))


if __name__ == "__main__":
    main()
