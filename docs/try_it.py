"""Computes the curves of the interactive page, all of them, into a folder.

Run as `python docs/try_it.py FOLDER`; building the site does it too. An operator is
one expression of x, from which its numbers are computed and which the page shows as
code; `index.js` has the expressions and NAME.js the numbers. They are scripts, since
pages that are opened from a folder may not read other files.
"""

import base64
import json
import os
import sys
import time
import zlib
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

if __name__ == "__main__":
    # As in gallery.py: most of the time is compilation, of programs that run once.
    os.environ.setdefault(
        "XLA_FLAGS",
        "--xla_backend_optimization_level=0 "
        "--xla_llvm_disable_expensive_passes=true "
        "--xla_cpu_parallel_codegen_split_count=1"
        + " --xla_cpu_use_fusion_emitters=false"
        * version("jaxlib").startswith("0.10."),
    )
    os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import jax.numpy as jnp
import numpy as np

import softjax as sj

# Ten a decade, in round numbers (the preferred numbers of Renard).
_DECADE = (1.0, 1.25, 1.6, 2.0, 2.5, 3.15, 4.0, 5.0, 6.3, 8.0)
SOFTNESS = [round(d * step, 6) for d in (0.01, 0.1) for step in _DECADE] + [1.0]
POINTS = 162
"""Even, so that no point is where something is hard."""
STEPS = 2047
"""Steps between 0 and the largest number of a curve: less than pixels show."""

ALL_MODES = ("smooth", "c0", "c1", "c2", "cubic", "quintic", "pseudohuber")
FEW_MODES = ("smooth", "c0", "c1")
METHODS = (
    *("softsort", "neuralsort", "ot"),
    *("sorting_network", "fast_soft_sort", "smooth_sort"),
)


class Operator(NamedTuple):
    """A number as a function of x, by an expression with `**keywords` in it."""

    group: str
    label: str
    expression: str
    reach: float = 1.0
    modes: tuple[str, ...] = ALL_MODES
    methods: tuple[str, ...] = ()
    """Of which there is a choice."""
    straight_through: bool = True
    """Its straight-through variant has the hard value and the soft derivative."""

    def differentiated(self, x: jax.Array, softness: jax.Array, **keywords: Any) -> Any:
        """Values and derivatives, softness by x."""
        f = eval(f"lambda x, **keywords: {self.expression}", dict(sj=sj, jnp=jnp))

        def at(x, softness):
            def g(x):
                return f(x, softness=softness, **keywords)

            return jax.jvp(g, (x,), (jnp.ones_like(x),))

        pairs = jnp.meshgrid(x, softness)
        flat = jax.vmap(at)(*(p.ravel() for p in pairs))
        return [y.reshape(pairs[0].shape) for y in flat]

    def choices(self) -> list[str]:
        """Modes, each with a method after it where there are several."""
        return [
            f"{mode} {method}".strip()
            for method in self.methods or ("",)
            for mode in self.modes
            if mode == "smooth" or method != "smooth_sort"  # which takes no other
        ]


def _elementwise(label: str, **options: Any) -> Operator:
    call = label.replace(")", ", **keywords)")
    return Operator("Elementwise", label, f"sj.{call}", **options)


def _compared(label: str) -> Operator:
    return _elementwise(label)._replace(group="Comparison")


def _composed(label: str, expression: str, **options: Any) -> Operator:
    options = dict(straight_through=False) | options
    return Operator("Logic and selection", label, expression, **options)


_ROW = "jnp.array([x, -0.6, -0.1, 0.5])"


def _axiswise(label: str, name: str, *arguments: Any, at: str = "", **options: Any):
    given = ", ".join([_ROW, *map(str, arguments), "**keywords"])
    options = dict(modes=FEW_MODES) | options
    return Operator("Along an axis", label, f"sj.{name}({given}){at}", **options)


_OF_QUANTILES = (METHODS[1], METHODS[0], *METHODS[2:])  # the default is the first

OPERATORS = {
    "relu": _elementwise("relu(x)"),
    "gated_relu": _elementwise("relu(x, gated=True)"),
    "leaky_relu": _elementwise("leaky_relu(x, 0.2)"),
    "abs": _elementwise("abs(x)"),
    "sign": _elementwise("sign(x)"),
    "heaviside": _elementwise("heaviside(x)"),
    "round": _elementwise("round(x)", reach=2.2),
    "floor": _elementwise("floor(x)", reach=2.2),
    "clip": _elementwise("clip(x, -0.5, 0.5)"),
    "maximum": _elementwise("maximum(x, 0.3)"),
    "hard_tanh": _elementwise("hard_tanh(x)", reach=2.0),
    "greater": _compared("greater(x, 0.5)"),
    "less": _compared("less(x, 0.5)"),
    "equal": _compared("equal(x, 0.2)"),
    "isclose": _compared("isclose(x, 0, atol=0.5)"),
    "logical_and": _composed(
        "logical_and: -0.5 < x < 0.5",
        "sj.logical_and(sj.greater(x, -0.5, **keywords), sj.less(x, 0.5, **keywords))",
    ),
    "logical_xor": _composed(
        "logical_xor of x > -0.5 and x > 0.5",
        "sj.logical_xor(sj.greater(x, -0.5, **keywords), "
        "sj.greater(x, 0.5, **keywords))",
    ),
    "where": _composed(
        "where(x > 0, 1 - x, x)", "sj.where(sj.greater(x, 0, **keywords), 1 - x, x)"
    ),
    "max": _axiswise("max", "max"),
    "argmax": _axiswise("argmax, share of x", "argmax", at="[0]"),
    "sort": _axiswise("sort, element 1", "sort", at="[1]", methods=METHODS),
    "argsort": _axiswise("argsort, share of x in row 1", "argsort", at="[1, 0]"),
    "rank": _axiswise("rank of x", "rank", at="[0]", methods=METHODS),
    "top_k": _axiswise("top_k, second largest", "top_k", 2, at="[0][1]"),
    "top_k_mask": _axiswise(
        "top_k_mask of 2, of x",
        "top_k_mask",
        2,
        at="[0]",
        methods=("ot", "hypersimplex"),
    ),
    "median": _axiswise("median", "median", methods=_OF_QUANTILES),
    "argmedian": _axiswise("argmedian, share of x", "argmedian", at="[0]"),
    "quantile": _axiswise("quantile, 0.3", "quantile", 0.3),
}


def encode(curves: list[np.ndarray]) -> str:
    """Curves in steps of their own sizes, as second differences, which are small."""
    sizes, differences = [], []
    for y in np.concatenate(curves):
        size = np.float32(max(np.abs(y).max(), 1e-30) / STEPS)
        steps = np.round(y / size).astype(int)
        sizes.append(size)
        twice = np.diff(np.diff(steps, prepend=0), prepend=0)
        differences.append(twice.astype("<i2"))
    content = np.asarray(sizes, "<f4").tobytes() + np.asarray(differences).tobytes()
    return base64.b64encode(zlib.compress(content, 9)).decode()


def decode(text: str) -> tuple[np.ndarray, np.ndarray]:
    """Values and derivatives, a row for each softness, as try_it.js decodes them."""
    content = zlib.decompress(base64.b64decode(text))
    rows = 2 * len(SOFTNESS)
    sizes = np.frombuffer(content[: 4 * rows], "<f4").astype(float)
    twice = np.frombuffer(content[4 * rows :], "<i2").reshape(rows, -1).astype(int)
    curves = sizes[:, None] * twice.cumsum(axis=1).cumsum(axis=1)
    return curves[: len(SOFTNESS)], curves[len(SOFTNESS) :]


def read(path: Path) -> Any:
    """The object that is an argument of the call in a script."""
    call = path.read_text()
    start = call.index("{")
    return json.loads(call[start : call.rindex(")")])


def _round(y: np.ndarray) -> list[float]:
    return [float(f"{number:.5g}") for number in y]


def compute(names: list[str], softness: list[float], **keywords: Any) -> dict[str, Any]:
    """Values and derivatives of several operators, compiled as one program."""
    xs = {n: np.linspace(-1, 1, POINTS) * OPERATORS[n].reach for n in names}

    @jax.jit
    def each(xs, softness):
        return {
            n: OPERATORS[n].differentiated(x, softness, **keywords)
            for n, x in xs.items()
        }

    return jax.tree.map(
        lambda y: np.asarray(y, np.float64), each(xs, jnp.asarray(softness))
    )


def tabulate(
    hard: list[np.ndarray], soft: dict[str, list[np.ndarray]]
) -> dict[str, Any]:
    """All that the page draws of an operator."""
    values = np.concatenate([curves[0] for curves in [hard, *soft.values()]])
    return dict(
        range=_round([values.min(), values.max()]),
        hard=[_round(curve[0]) for curve in hard],
        curves={choice: encode(curves) for choice, curves in soft.items()},
    )


def write(path: Path, call: str, *arguments: Any) -> None:
    given = ", ".join(json.dumps(a, separators=(",", ":")) for a in arguments)
    path.write_text(f"{call}({given});\n")


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    index = {
        name: operator._asdict() | dict(choices=operator.choices())
        for name, operator in OPERATORS.items()
    }
    write(
        folder / "index.js",
        "tryIt.begin",
        dict(points=POINTS, softness=SOFTNESS, operators=index),
    )
    hard = compute([*OPERATORS], [1.0], mode="hard")
    soft = {name: {} for name in OPERATORS}
    for choice in dict.fromkeys(c for o in OPERATORS.values() for c in o.choices()):
        start = time.process_time()
        names = [name for name, o in OPERATORS.items() if choice in o.choices()]
        mode, *method = choice.split()
        keywords = dict(mode=mode) | (dict(method=method[0]) if method else {})
        for name, curves in compute(names, SOFTNESS, **keywords).items():
            if not np.isfinite(curves).all():
                raise FloatingPointError(f"{name} is not finite somewhere, {choice}")
            soft[name][choice] = curves
        print(f"try {choice}: {time.process_time() - start:.1f} s", flush=True)
    for name in OPERATORS:
        write(
            folder / f"{name}.js", "tryIt.add", name, tabulate(hard[name], soft[name])
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
