"""Terms of sums over windows: entries of rows and columns, times what is averaged."""

from __future__ import annotations


def near(shared, centre, other, lag, *, gap):
    _, inverse_softness = shared
    pair, _, depth, _ = centre
    return gap(pair, other[0], lag) * inverse_softness < depth


def _argument(shared, centre, other, lag, gap):
    """The argument of the link for an entry of a row."""
    _, inverse_softness = shared
    pair, dual, _, _ = centre
    # The sign is that of a row, not of each entry.
    return gap(pair, other[0], lag) * -inverse_softness - dual


def _entry(y, centre, other, side):
    """An entry; and, if there are values, that times how far one is from another.

    The values under rows are those of others, from that of the row's own element, so
    that nothing cancels; under columns the other way round.
    """
    *_, values = centre
    _, weight, other_values = other
    if weight is not None:
        y = weight * y
    return (y,) if values is None else (y, side * y * (other_values - values))


def row_terms(shared, centre, other, lag, *, gap):
    y = shared[0].link(_argument(shared, centre, other, lag, gap))
    return _entry(y, centre, other, 1), ()


def row_slopes(shared, centre, other, lag, *, gap):
    """Terms of rows, each with its derivative in the dual."""
    t = _argument(shared, centre, other, lag, gap)
    terms = _entry(shared[0].link(t), centre, other, 1)
    slopes = _entry(-shared[0].slope(t), centre, other, 1)
    return tuple(zip(terms, slopes, strict=True)), ()


def column_terms(shared, centre, other, lag, *, gap):
    y = shared[0].link(_argument(shared, centre, other, lag, gap))
    return (), _entry(y, centre, other, -1)


def column_terms_and_slopes(shared, centre, other, lag, *, gap):
    """Terms of columns, and the derivatives of the rows' sums in the dual."""
    t = _argument(shared, centre, other, lag, gap)
    slope, *_ = _entry(-shared[0].slope(t), centre, other, 1)
    return slope, _entry(shared[0].link(t), centre, other, -1)
