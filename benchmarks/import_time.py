"""How much longer `import softjax` takes than `import jax`.

Each import is timed in fresh processes, one after the other in turn, so that whatever
else the machine does falls on both alike.
"""

import argparse
import statistics
import subprocess
import sys

TIMED_IMPORT = """
import time
start = time.perf_counter()
import {}
print(time.perf_counter() - start)
"""


def seconds(module: str) -> float:
    command = [sys.executable, "-c", TIMED_IMPORT.format(module)]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(result.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Time of `import softjax` against `import jax`."
    )
    parser.add_argument("--repeats", type=int, default=7, help="processes of each")
    repeats = parser.parse_args().repeats
    modules = ("jax", "softjax")
    for module in modules:  # warms the disk cache and writes the bytecode
        seconds(module)
    times: dict[str, list[float]] = {module: [] for module in modules}
    for _ in range(repeats):
        for module in modules:
            times[module].append(seconds(module))
    jax, softjax = (statistics.median(times[module]) for module in modules)
    print(f"import jax      {jax:.3f} s")
    print(f"import softjax  {softjax:.3f} s")
    print(f"ratio           {softjax / jax:.2f}")


if __name__ == "__main__":
    main()
