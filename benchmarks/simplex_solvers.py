"""Newton's method against the closed forms of a simplex projection.

All runs are compiled and take turns in one process; medians are compared. Where the
ratio is above 1, Newton's method, which needs no sort, is the better default.
"""

import argparse

import jax
from timing import medians

import softjax as sj


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=30)
    repeats = parser.parse_args().repeats
    print(f"{'mode':8}{'batch x n':>12}{'newton':>12}{'closed form':>14}{'ratio':>8}")
    for mode in ("smooth", "c0", "c1"):
        for shape in ((1024, 16), (8, 1024), (1, 65536)):
            z = jax.random.normal(jax.random.key(0), shape)
            runs = {}
            for solver in ("newton", "closed_form"):

                def dual(z, mode=mode, solver=solver):
                    problem = sj.solvers.SimplexProjection(z, 0.1)
                    return sj.solvers.solve(problem, mode, solver).dual

                runs[solver] = jax.jit(dual)
            time_of = medians(runs, z, repeats=repeats)
            newton, closed = (1e3 * time_of[solver] for solver in runs)
            size = f"{shape[0]} x {shape[1]}"
            print(
                f"{mode:8}{size:>12}{newton:9.3f} ms{closed:11.3f} ms"
                f"{closed / newton:8.1f}"
            )


if __name__ == "__main__":
    main()
