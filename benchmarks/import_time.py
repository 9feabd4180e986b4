"""Time of `import softjax` against `import jax`, and with the first operator.

`import softjax` defers its own imports to the first use of a name, so the second figure
is what a program pays in the end.

Each import is timed in fresh processes, one after the other in turn, so that whatever
else the machine does falls on both alike.
"""

import argparse
import statistics
import subprocess
import sys

TIMED = """
import time
start = time.perf_counter()
{}
print(time.perf_counter() - start)
"""

STATEMENTS = {
    "import jax": "import jax",
    "import softjax": "import jax, softjax",
    "and its first operator": "import jax, softjax; softjax.sort",
}


def seconds(statement: str) -> float:
    command = [sys.executable, "-c", TIMED.format(statement)]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(result.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=7, help="processes of each")
    repeats = parser.parse_args().repeats
    for statement in STATEMENTS.values():  # warms the disk cache, writes the bytecode
        seconds(statement)
    times: dict[str, list[float]] = {name: [] for name in STATEMENTS}
    for _ in range(repeats):
        for name, statement in STATEMENTS.items():
            times[name].append(seconds(statement))
    medians = {name: statistics.median(taken) for name, taken in times.items()}
    for name, median in medians.items():
        print(f"{name:24}{median:.3f} s  ratio {median / medians['import jax']:.2f}")


if __name__ == "__main__":
    main()
