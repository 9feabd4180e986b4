"""Results of methods as those of operators: fills, infinite elements, places."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from softjax_solvers.internal import safe_divide, segment_ends, sort_pairs

from ..axiswise._infinite import Outer, put_positions, put_values
from ..axiswise._logarithms import floored
from ..methods import Intervals
from ._run import Run
from ._sample import Ordered


def finish_values(
    out: Float[Array, "m levels"], places: Intervals, run: Run, of_nothing: float
) -> Float[Array, "m levels"]:
    """Values of segments, with those beyond what a segment has."""
    if run.outer is not None:
        outer, column = run.outer, (slice(None), None)
        outer = Outer(
            outer.up,
            outer.down,
            outer.above[column],
            outer.below[column],
            outer.mass,
            jnp.asarray(outer.total)[column],
        )
        out = put_values(out, places, outer)
    total = run.measure.total[:, None]
    beyond = jnp.asarray(places.start) >= total
    if places.share is not None:
        beyond, _ = jnp.split(beyond, 2, axis=-1)
    out = jnp.where(beyond | (total == 0), of_nothing, out)
    out = jnp.where(run.measure.bad[:, None], jnp.nan, run.sign * out)
    return run.of_segments(out)


def finish_index(out: Float[Array, " n"], run: Run) -> Float[Array, " n"]:
    """Shares of elements, where infinite ones have what there is."""
    shares = run.relaxation.shares
    if run.outer is not None:
        out = _put_shares(jnp.where(run.seen, out, shares.nothing), run)
    out = _floored(out, run)  # by 0, where these are no logarithms
    nothing = run.measure.groups.spread(run.measure.total == 0)
    return run.finish(jnp.where(run.given & ~nothing, out, shares.nothing))


def _floored(logs: Float[Array, " n"], run: Run) -> Float[Array, " n"]:
    sample, groups = run.sample, run.sample.groups
    mass = jnp.ones_like(logs) if sample.mass is None else sample.mass
    mass = run.present(mass)
    # Elements of -inf that hard operators see are absent, unless all are.
    present = jnp.where(sample.keys == -jnp.inf, 0, mass)
    some = groups.spread(groups.max(present) > 0)
    mass = jnp.where(some, present, mass)
    return floored(logs, run.floor, mass, groups.spread(groups.sum(mass)))


def _put_shares(out: Float[Array, " n"], run: Run) -> Float[Array, " n"]:
    groups, outer = run.measure.groups, run.outer
    assert outer is not None
    up, down, above, below, mass, total = outer
    one = jnp.ones_like(out) if mass is None else mass
    # What the first unit of mass has of either.
    length = jnp.clip(jnp.asarray(total), 0, 1)
    high = safe_divide(jnp.minimum(above, length), length)
    low = safe_divide(length - jnp.minimum(total - below, length), length)
    low = jnp.where(below > 0, jnp.minimum(low, 1 - high), 0)
    each_high, each_low = safe_divide(high, above), safe_divide(low, below)
    parts = jnp.where(up, one * groups.spread(each_high), 0)
    parts = parts + jnp.where(down, one * groups.spread(each_low), 0)
    taken = groups.spread(high + low)
    shares = run.relaxation.shares
    rest = jnp.where(up | down, shares.nothing, out)
    beside = shares.beside(parts, 1 - taken, shares.over_sum_of(groups, rest))
    return jnp.where(taken > 0, beside, out)


def finish_positions(out: Float[Array, " n"], run: Run, first: int) -> Array:
    """Ranks of elements in their order, counted from `first`."""
    out = out + (first - 1)
    spread = run.measure.groups.spread
    if run.outer is not None:
        outer = run.outer
        above, below = spread(outer.above), spread(outer.below)
        total = spread(jnp.asarray(outer.total))
        out = put_positions(
            out, Outer(outer.up, outer.down, above, below, None, total), first
        )
    behind = run.of_elements(jax.lax.stop_gradient(run.measure.total)) + first
    nothing = run.of_elements(run.measure.total == 0)
    return run.finish(jnp.where(run.given & ~nothing, out, behind.astype(out.dtype)))


def finish_sorted(out: Float[Array, " n"], ordered: Ordered, run: Run) -> Array:
    """Values in order at the places that their segments have."""
    spread = ordered.groups.spread
    if run.outer is not None:
        outer, place = run.outer, ordered.places
        out = jnp.where(place < spread(outer.above), jnp.inf, out)
        lowest = spread(jnp.asarray(outer.total) - outer.below)
        out = jnp.where((place >= lowest) & (spread(outer.below) > 0), -jnp.inf, out)
    out = run.sign * jnp.where(spread(run.measure.bad), jnp.nan, out)
    segments, n = run.segments, ordered.size
    ids = jnp.clip(segments.ids, -1, segments.count) + 1
    if segments.are_sorted:
        places = jnp.arange(n)
    else:
        ids, places = sort_pairs(ids, jnp.arange(n, dtype=jnp.int32))
    # Where some take no part, the first places of a segment have those that do.
    first, _ = segment_ends(ids, segments.count + 2)
    place = jnp.arange(n) - first[ids]
    count = ordered.stop - ordered.first
    value = out[jnp.minimum(ordered.first[ids] + place, n - 1)]
    behind = jnp.where(run.measure.bad[ids], jnp.nan, -run.sign * jnp.inf)
    value = jnp.where(place < count[ids], value, behind)
    inside = (ids > 0) & (ids <= segments.count)
    value = jnp.where(inside, value, 0)
    return jnp.zeros_like(value).at[places].set(value, unique_indices=True)
