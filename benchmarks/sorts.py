"""Times of ways to sort numbers with their permutation, compiled, in one process.

All of them return the same: sorted float32 numbers, and where each has been. Those of
XLA are for a CPU. NumPy's `sort` returns no permutation. Least times, as anything else
on the machine only adds to them.
"""

import argparse
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from timing import turns

from softjax_solvers._kernels.sorting import (
    from_bits,
    ordered_bits,
    sort_with_permutation,
)
from softjax_solvers._platform.serial import read, write

SIZES = (64, 1024, 4096, 16384, 65536, 1048576)
BLOCK = 256


def floats(x):
    """XLA's sort of pairs of a float and its place."""
    return lax.sort((x, lax.iota(jnp.int32, len(x))), num_keys=1)


def _packed(x):
    """Pairs of a key and a place, as 64-bit integers."""
    with jax.enable_x64(True):
        upper = lax.shift_left(ordered_bits(x).astype(jnp.int64), _wide(32))
        return upper | lax.iota(jnp.int64, len(x))


def _unpacked(pairs):
    with jax.enable_x64(True):
        bits = lax.shift_right_arithmetic(pairs, jnp.full_like(pairs, 32))
        return from_bits(bits.astype(jnp.int32), jnp.float32), pairs.astype(jnp.int32)


def _wide(number):
    return lax.convert_element_type(np.int64(number), jnp.int64)


def _rounds(pairs, steps):
    """Exchanges of a bitonic network, by minima and maxima of whole arrays."""
    with jax.enable_x64(True):
        place = lax.iota(jnp.int32, pairs.size)

        def step(pairs, one):
            run, distance = one
            first = (place & distance) == 0
            other = jnp.where(
                first, jnp.roll(pairs, -distance), jnp.roll(pairs, distance)
            )
            smaller = first == ((place & run) == 0)
            low, high = lax.min(pairs, other), lax.max(pairs, other)
            return jnp.where(smaller, low, high), None

        return lax.scan(step, pairs, jnp.asarray(np.array(steps, np.int32)))[0]


def _steps(first: int, n: int) -> list[tuple[int, int]]:
    runs = [1 << k for k in range(first.bit_length(), n.bit_length())]
    return [(r, 1 << j) for r in runs for j in reversed(range(r.bit_length() - 1))]


def bitonic(x):
    """Batcher's network, in a rolled loop over its rounds."""
    return _unpacked(_rounds(_packed(x), _steps(1, len(x))))


def merges(x):
    """XLA's sort of blocks, and bitonic merges of these, in a rolled loop."""
    pairs = _packed(x)
    with jax.enable_x64(True):
        blocks = lax.sort(pairs.reshape(-1, min(BLOCK, len(x))))
        odd = lax.iota(jnp.int32, len(blocks))[:, None] % 2 == 1
        pairs = jnp.where(odd, blocks[:, ::-1], blocks).ravel()
    steps = _steps(BLOCK, len(x))
    return _unpacked(_rounds(pairs, steps) if steps else pairs)


def _digit(keys, bits, shift):
    digit = lax.shift_right_logical(keys, jnp.uint32(shift)) & ((1 << bits) - 1)
    return digit.astype(jnp.int32)


def _unsigned(x):
    bits = lax.bitcast_convert_type(ordered_bits(x), jnp.uint32)
    return bits ^ jnp.uint32(1 << 31)


def _from_unsigned(keys):
    bits = lax.bitcast_convert_type(keys ^ jnp.uint32(1 << 31), jnp.int32)
    return from_bits(bits, jnp.float32)


def radix_by_cumsum(x, bits: int = 4):
    """Radix sort: places by cumulative sums of digits, and a scatter."""
    keys, index = _unsigned(x), lax.iota(jnp.int32, len(x))
    for shift in range(0, 32, bits):
        digit = _digit(keys, bits, shift)
        ones = (digit == jnp.arange(1 << bits)[:, None]).astype(jnp.int32)
        place = jnp.cumsum(ones.ravel()).reshape(ones.shape)
        place = jnp.sum(jnp.where(ones == 1, place, 0), axis=0) - 1
        keys, index = (
            jnp.zeros_like(a).at[place].set(a, unique_indices=True)
            for a in (keys, index)
        )
    return _from_unsigned(keys), index


def radix_by_loops(x, bits: int = 11, passes: int = 3):
    """Radix sort by counters, in loops over single numbers."""
    keys, index = _unsigned(x), lax.iota(jnp.int32, len(x))

    def look(counters, places):
        """Entries, read in a loop of one step: else XLA copies what is written to."""
        start = jnp.int32(0), tuple(jnp.int32(0) for _ in places)
        found = lambda _: (jnp.int32(1), tuple(read(counters, d) for d in places))  # noqa: E731
        return lax.while_loop(lambda s: s[0] < 1, found, start)[1]

    def count(i, counters):
        key = read(keys, i)
        places = [(p << bits) + _digit(key, bits, bits * p) for p in range(passes)]
        for place, number in zip(places, look(counters, places), strict=True):
            counters = write(counters, number + 1, place)
        return counters

    counts = lax.fori_loop(0, len(x), count, jnp.zeros(passes << bits, jnp.int32))
    counts = counts.reshape(passes, -1)
    starts = jnp.cumsum(counts, axis=-1) - counts
    for p in range(passes):

        def move(i, state, p=p, keys=keys, index=index):
            counters, new_keys, new_index = state
            key = read(keys, i)
            digit = _digit(key, bits, bits * p)
            (place,) = look(counters, [digit])
            new_keys = write(new_keys, key, place)
            new_index = write(new_index, read(index, i), place)
            return write(counters, place + 1, digit), new_keys, new_index

        start = starts[p], jnp.zeros_like(keys), jnp.zeros_like(index)
        _, keys, index = lax.fori_loop(0, len(x), move, start)
    return _from_unsigned(keys), index


WAYS = {
    "integer keys": sort_with_permutation,
    "floats": floats,
    "bitonic": bitonic,
    "merges": merges,
    "cumsum": radix_by_cumsum,
    "loops": radix_by_loops,
}
"""The first is what this library does."""


def of_numpy(sort: Callable) -> Callable:
    return lambda x: sort(np.asarray(x))


def main() -> None:
    parser = argparse.ArgumentParser(description="Times of ways to sort.")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--repeats", type=int, default=51, help="calls of each")
    parser.add_argument("--budget", type=float, default=3.0, help="seconds for each")
    given = parser.parse_args()
    names = [*WAYS, "np.sort", "np.argsort"]
    print(f"least of {given.repeats} calls: microseconds, and times the first")
    print(f"{'n':>8}" + "".join(f"{name:>16}" for name in names))
    for n in given.sizes:
        x = jax.random.normal(jax.random.key(0), (n,))
        ways: dict[str, Callable] = {name: jax.jit(way) for name, way in WAYS.items()}
        order = np.argsort(x, kind="stable")
        for name, way in ways.items():
            ordered, permutation = way(x)
            assert np.array_equal(permutation, order), name
            assert np.array_equal(ordered, np.asarray(x)[order]), name
        ways |= {"np.sort": of_numpy(np.sort), "np.argsort": of_numpy(np.argsort)}
        taken = turns(ways, x, repeats=given.repeats, budget=given.budget)
        least = {name: 1e6 * min(times) for name, times in taken.items()}
        cells = (f"{t:10.0f} {t / least[names[0]]:5.2f}" for t in least.values())
        print(f"{n:>8}" + "".join(cells), flush=True)


if __name__ == "__main__":
    main()
