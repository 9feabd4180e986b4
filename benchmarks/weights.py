"""Cost of `where=` and of `weights=` against the plain call, compiled, in one process.

For each operator and each method that takes them: the times of a value and of a
gradient in x, and how many times longer they take with a mask that leaves 60 % of the
elements, and with weights of about 0.5 to 1.5; with weights also those of a gradient in
x and in the weights, against the plain one in x alone. Masks and weights are arguments
of the compiled program. All of them are called in turn, so that whatever else the
machine does falls on all alike, and the best of the rounds is compared, or their median
with `--median`. The last rows have the medians of the ratios, over all rows of a mode.
"""

import argparse
import statistics
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from timing import turns

import softjax as sj

SHAPE = 8, 1024
SMALL = 8, 256  # for transport plans, of n x n
OPERATORS: dict[str, Callable] = {
    "sort": sj.sort,
    "rank": sj.rank,
    "max": sj.max,
    "top_k": lambda x, **keywords: sj.top_k(x, 8, **keywords)[0],
    "median": sj.median,
    "quantile": lambda x, **keywords: sj.quantile(x, 0.3, **keywords),
    "argmax": sj.argmax,
}
HEADER = ("operator", "method", "value, ms", "gradient, ms")
RATIOS = {
    "where, value": ("where", "value"),
    "where, gradient": ("where", "gradient"),
    "weights, value": ("weights", "value"),
    "weights, gradient": ("weights", "gradient"),
    "weights, gradient in both": ("weights", "gradient in both"),
}
"""Title of a column -> what is given, and what is computed."""


def arguments(shape: tuple[int, int]) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Numbers, a mask and weights, of which the sum is the number of elements."""
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.normal(size=shape), jnp.float32)
    where = jnp.asarray(rng.uniform(size=shape) < 0.6)
    weights = rng.uniform(0.5, 1.5, shape)
    weights *= shape[-1] / weights.sum(axis=-1, keepdims=True)
    return x, where, jnp.asarray(weights, jnp.float32)


def computed(operator: Callable, given: str) -> dict[str, Callable]:
    """A value, its gradient in x, and with weights in both, of x, mask and weights."""
    chosen: dict[str, Callable] = {
        "nothing": lambda where, weights: {},
        "where": lambda where, weights: dict(where=where),
        "weights": lambda where, weights: dict(weights=weights),
    }

    def value(x, where, weights):
        return operator(x, **chosen[given](where, weights))

    def loss(x, where, weights):
        out = value(x, where, weights)
        return jnp.sum(out * jnp.cos(jnp.arange(out.size)).reshape(out.shape))

    out = dict(value=jax.jit(value), gradient=jax.jit(jax.grad(loss)))
    if given == "weights":
        out["gradient in both"] = jax.jit(jax.grad(loss, (0, 2)))
    return out


def functions(
    name: str, method: sj.methods.Method, mode: str
) -> dict[tuple[str, str], Callable]:
    """Functions to be timed, by what is given and what is computed."""

    def operator(x, **keywords):
        keywords |= dict(axis=-1, method=method, mode=mode, softness=0.1)
        return OPERATORS[name](x, **keywords)

    takes = ["nothing", "where"] + ["weights"] * (name in method.takes_weights)
    return {
        (given, what): function
        for given in takes
        for what, function in computed(operator, given).items()
    }


def serves(method: sj.methods.Method, name: str, mode: str) -> bool:
    """Whether a method has the operator, in the mode, at all."""
    try:
        x = jax.ShapeDtypeStruct((1, 9), jnp.float32)
        jax.eval_shape(
            lambda x: OPERATORS[name](x, axis=-1, method=method, mode=mode), x
        )
    except ValueError:
        return False
    return True


def main() -> None:
    parser = argparse.ArgumentParser(description="Cost of where= and weights=.")
    parser.add_argument("--repeats", type=int, default=51, help="rounds")
    parser.add_argument("--modes", nargs="+", default=["smooth"])
    parser.add_argument("--operators", nargs="+", default=list(OPERATORS))
    parser.add_argument("--methods", nargs="+", default=list(sj.methods.METHODS))
    parser.add_argument("--median", action="store_true", help="of rounds, not the best")
    args = parser.parse_args()
    of_rounds = statistics.median if args.median else min
    print(f"{jax.devices()[0].platform}, float32, {args.repeats} rounds\n")
    for mode in args.modes:
        print(f'mode="{mode}"\n')
        print("| " + " | ".join([*HEADER, *RATIOS]) + " |")
        print("| --- | ---" + " | ---" * (len(HEADER) + len(RATIOS) - 2) + " |")
        ratios: dict[str, list[float]] = {title: [] for title in RATIOS}
        for name in args.operators:
            for key in args.methods:
                method = sj.methods.METHODS[key]()
                if not serves(method, name, mode):
                    continue
                shape = SMALL if key == "ot" else SHAPE
                taken = turns(
                    functions(name, method, mode),
                    *arguments(shape),
                    repeats=args.repeats,
                    budget=5.0,
                )
                best = {of: of_rounds(times) for of, times in taken.items()}
                plain = {what: best["nothing", what] for what in ("value", "gradient")}
                cells = [f"`{name}`", f"`{key}`"]
                cells += [f"{1e3 * plain[what]:.2f}" for what in plain]
                for title, (given, what) in RATIOS.items():
                    if (given, what) not in best:
                        cells.append("-")
                        continue
                    ratio = best[given, what] / plain[what.split()[0]]
                    ratios[title].append(ratio)
                    cells.append(f"{ratio:.2f}")
                print("| " + " | ".join(cells) + " |", flush=True)
        medians = [f"{statistics.median(r):.2f}" if r else "-" for r in ratios.values()]
        print(f"| median | {' | ' * (len(HEADER) - 1)}{' | '.join(medians)} |")
        for given in ("where", "weights"):
            found = [r for t, of in ratios.items() if RATIOS[t][0] == given for r in of]
            if found:
                print(f"\nmedian of all with {given}=: {statistics.median(found):.2f}")
        print(flush=True)


if __name__ == "__main__":
    main()
