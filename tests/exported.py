"""Loops and callbacks of programs that are exported for accelerators."""

import math
import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax

PLATFORMS = ("cuda", "tpu")


_UPDATES = {"stablehlo.dynamic_update_slice": 1, "stablehlo.scatter": 2}
"""Operations that write to their first operand, and which operand they write."""


class Loop(NamedTuple):
    """A loop of a lowered program.

    - `steps`: how many it makes at most; None if that depends on numbers.
    - `single`: the size of the largest array to which a step writes a single number; 0
        if there is none.
    """

    steps: int | None
    single: int


def lowered(fn: Callable, *args: Any) -> Any:
    """The module of a function that is exported for accelerators."""
    traced = jax.jit(fn).trace(*args)
    return traced.lower(lowering_platforms=PLATFORMS).compiler_ir("stablehlo")


def callbacks(module: Any) -> list[str]:
    """Targets of calls to the host."""
    called = re.findall(r"custom_call @(\w+)", str(module))
    return [target for target in called if "callback" in target or "python" in target]


def loops(module: Any) -> list[Loop]:
    """All loops, of all functions of a module."""
    operations = list(_within(module.operation))
    functions = {
        op.attributes["sym_name"].value: op
        for op in operations
        if op.name == "func.func"
    }
    return [
        Loop(_steps(*op.regions), _single(op.regions[1], functions))
        for op in operations
        if op.name == "stablehlo.while"
    ]


def _within(op: Any) -> Iterator[Any]:
    for region in op.regions:
        yield from _of_region(region)


def _of_region(region: Any) -> Iterator[Any]:
    for block in region:
        for op in block:
            yield op.operation
            yield from _within(op.operation)


def _steps(condition: Any, body: Any) -> int | None:
    """The number that a loop's counter is compared with, if it is a constant one."""
    known = [
        _turns(op.operands[0], int(limit), body)
        for op in _of_region(condition)
        if op.name == "stablehlo.compare"
        and "LT" in str(op.attributes["comparison_direction"])
        and (limit := _constant(op.operands[1])) is not None
    ]
    return max(known, default=None)


def _turns(counter: Any, limit: int, body: Any) -> int:
    """The turns to a limit, of a counter that is doubled or counts by one."""
    (block,) = body
    *_, end = block
    if hasattr(counter, "arg_number"):
        owner = end.operands[counter.arg_number].owner
        if getattr(owner, "name", "") == "stablehlo.multiply":
            return math.ceil(math.log2(limit))
    return limit


def _constant(value: Any) -> float | None:
    # An argument of a block belongs to the block, which has no name.
    op: Any = getattr(value.owner, "operation", value.owner)
    name = getattr(op, "name", "")
    if name == "stablehlo.broadcast_in_dim":
        return _constant(op.operands[0])
    if name != "stablehlo.constant":
        return None
    number = re.fullmatch(r"dense<(-?[\d.e+]+)> : .*", str(op.attributes["value"]))
    return None if number is None else float(number[1])


def _single(body: Any, functions: dict[str, Any]) -> int:
    sizes = [0]
    for op in _of_region(body):
        if op.name == "func.call":
            called = functions[op.attributes["callee"].value]
            sizes += [_single(region, functions) for region in called.regions]
        place = _UPDATES.get(op.name)
        if place is not None and math.prod(op.operands[place].type.shape) == 1:
            sizes.append(math.prod(op.operands[0].type.shape))
    return max(sizes)
