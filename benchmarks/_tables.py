"""Tables of ratios, in Markdown."""

import itertools
import statistics
from collections.abc import Iterable, Sequence

from ._cases import FLOOR, FLOORS, HERE, KINDS, PEERS, Case
from ._results import Record, Results

OFF = 0.02
"""Largest difference of results, relative to their largest entry, without a mark."""


def markdown(header: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    lines = ["| " + " | ".join(row) + " |" for row in (header, *rows)]
    lines.insert(1, "|" + " --- |" * len(list(header)))
    return "\n".join(lines)


def number(value: float) -> str:
    """Number in two digits, or in all before the decimal point."""
    return f"{value:.0f}" if value >= 10 else f"{value:.2g}"


def amount(count: float) -> str:
    """Number of bytes, in a unit that leaves few digits."""
    for unit in ("B", "KiB", "MiB"):
        if count < 1000:
            return f"{number(count)} {unit}"
        count /= 1024
    return f"{number(count)} GiB"


def seconds(time: float) -> str:
    unit, factor = (
        ("s", 1.0) if time >= 1 else ("ms", 1e3) if time >= 1e-3 else ("µs", 1e6)
    )
    return f"{number(time * factor)} {unit}"


def _cell(results: Results, case: Case, n: int, library: str, to: str) -> str:
    """Cell of two ratios, of value and gradient, or of why there are none."""
    words = []
    for kind in KINDS:
        record = results.find(case, n, library, kind)
        if _has_none(results, case, library, kind):
            continue
        base = _time(results, case, n, to, kind)
        if record and record["status"] == "ok" and base:
            words.append(number(record["seconds"] / base))
        elif record and record["status"] == "ok":
            words.append(seconds(record["seconds"]))
        else:
            words.append(_why_not(results, record))
    if len(set(words)) == 1 and not words[0][0].isdigit():
        words = words[:1]
    return " / ".join(words) + _mark(results, case, n, library)


def _mark(results: Results, case: Case, n: int, library: str) -> str:
    """The mark of a ratio whose results differ."""
    record = results.find(case, n, library, "value") or {}
    difference = record.get("difference", 0.0)
    return "\\*" if difference is None or difference > OFF else ""


def _has_none(results: Results, case: Case, library: str, kind: str) -> bool:
    """Whether a library has nothing of this kind to measure, at any size."""
    found = (results.find(case, n, library, kind) for n in results.sizes())
    return any(record and record["status"] == "none" for record in found)


def _time(
    results: Results,
    case: Case,
    n: int,
    library: str,
    kind: str,
    what: str = "seconds",
) -> float | None:
    """Measured time, of the value for a gradient that the hard operator lacks."""
    if library == FLOOR and _has_none(results, case, library, kind):
        kind = "value"
    record = results.find(case, n, library, kind)
    return record[what] if record and record["status"] == "ok" else None


def _why_not(results: Results, record: Record | None) -> str:
    if record is None:
        return "—"
    if record["status"] == "late":
        return f"> {results.settings['patience']:g} s"
    return record["status"]


def _code(words: Iterable[str]) -> list[str]:
    return [f"`{word}`" if word != "-" else "" for word in words]


def _unit(times: Iterable[float | None]) -> str:
    """Unit of a column of ratios: the median of the times that were measured."""
    known = [time for time in times if time]
    return f"{seconds(statistics.median(known))} (1)" if known else "—"


def operator_table(results: Results, op: str) -> str:
    """Table of this library against the hard operator, by method, mode and size."""
    sizes = results.sizes()
    cases = results.cases(op)
    first = [
        _unit(_time(results, case, n, FLOOR, "value") for case in cases) for n in sizes
    ]
    rows, compiles = [], []
    for case in cases:
        cells = [_cell(results, case, n, HERE, FLOOR) for n in sizes]
        last = _largest(results, case, HERE)
        if last:
            ours, n = last[0], last[0]["n"]
            base = _time(results, case, n, FLOOR, "gradient", "compile_s")
            compiles.append(base)
            time = ours["compile_s"]
            cells.append(number(time / base) if base else seconds(time))
            cells.append(f"{amount(ours['memory'])} at n = {n}")
        else:
            cells += ["", ""]
        rows.append([*_code(case[1:]), *cells])
    rows.insert(0, [f"`{FLOORS[op]}`", "", *first, _unit(compiles), ""])
    header = ["method", "mode", *(f"n = {n}" for n in sizes), "compile", "memory"]
    return markdown(header, rows)


def peer_table(results: Results, op: str) -> str | None:
    """Table of peers against this library; None without any."""
    sizes = results.sizes()
    rows = []
    for case in results.cases(op):
        for peer in PEERS:
            if not any(results.find(case, n, peer, "value") for n in sizes):
                continue
            cells = [_cell(results, case, n, peer, HERE) for n in sizes]
            last = _largest(results, case, HERE, peer)
            for what in ("compile_s", "memory"):
                ratio = _ratio(last, what) if last else None
                cells.append(number(ratio) if ratio else "")
            rows.append([*_code(case[1:]), peer, *cells])
    header = ["method", "mode", "library", *(f"n = {n}" for n in sizes)]
    return markdown([*header, "compile", "memory"], rows) if rows else None


def _largest(
    results: Results, case: Case, *libraries: str, kinds: Sequence[str] = KINDS[::-1]
) -> list[Record] | None:
    """Records of all these libraries, at the largest size that they have in common.

    They are of the first of the kinds that has any.
    """
    for kind in kinds:
        for n in reversed(results.sizes()):
            found = [results.find(case, n, library, kind) for library in libraries]
            records = [each for each in found if each and each["status"] == "ok"]
            if len(records) == len(libraries):
                return records
    return None


def _ratio(pair: list[Record], what: str) -> float | None:
    """Ratio of a peer to this library; None where there is nothing to divide."""
    ours, theirs = pair
    if not ours.get(what) or theirs.get(what) is None:
        return None
    return theirs[what] / ours[what]


def summary_table(results: Results) -> str | None:
    """Table of the medians, over cases, of the ratios of peers to this library."""
    rows = []
    for peer in PEERS:
        pairs = {
            kind: [
                pair
                for case in results.cases()
                if (pair := _largest(results, case, HERE, peer, kinds=[kind]))
            ]
            for kind in KINDS
        }
        if not pairs["value"]:
            continue
        wanted = [("value", "seconds"), ("gradient", "seconds")]
        wanted += [("gradient", "compile_s"), ("gradient", "memory")]
        cells = []
        for kind, what in wanted:
            ratios = [_ratio(pair, what) for pair in pairs[kind]]
            cells.append(_spread([ratio for ratio in ratios if ratio is not None]))
        counts = []
        for kind in KINDS:
            faster = sum(b["seconds"] < a["seconds"] for a, b in pairs[kind])
            counts.append(f"{faster} of {len(pairs[kind])}")
        rows.append([peer, *cells, " / ".join(counts)])
    header = ("library", "value", "gradient", "compile", "memory", "faster")
    return markdown(header, rows) if rows else None


Ratio = tuple[Case, int, str, str]
"""Key of a ratio of times: a case, its n, the other library, value or gradient."""


def faster(results: Results) -> dict[Ratio, float]:
    """Ratios of the times of peers that are faster, by case, peer, kind and size."""
    found = {}
    for case, peer, kind in itertools.product(results.cases(), PEERS, KINDS):
        for n in results.sizes():
            pair = [results.find(case, n, each, kind) for each in (HERE, peer)]
            pair = [each for each in pair if each and each["status"] == "ok"]
            ratio = _ratio(pair, "seconds") if len(pair) == 2 else None
            if ratio is not None and ratio < 1:
                found[case, n, peer, kind] = ratio
    return found


def faster_table(results: Results) -> str | None:
    """Table of the cases in which a peer is faster, with its ratio at each such n."""
    rows: dict[tuple[Case, str, str], dict[int, str]] = {}
    for (case, n, peer, kind), ratio in faster(results).items():
        cells = rows.setdefault((case, kind, peer), {})
        cells[n] = number(ratio) + _mark(results, case, n, peer)
    sizes = results.sizes()
    header = (
        "operator",
        "method",
        "mode",
        "of",
        "library",
        *(f"n = {n}" for n in sizes),
    )
    lines = [
        [*_code(case), kind, peer, *(cells.get(n, "") for n in sizes)]
        for (case, kind, peer), cells in rows.items()
    ]
    return markdown(header, lines) if lines else None


def _spread(ratios: list[float]) -> str:
    """Median of ratios, and the range of their middle half."""
    if not ratios:
        return ""
    if len(ratios) < 4:
        return number(statistics.median(ratios))
    low, middle, high = statistics.quantiles(ratios, n=4, method="inclusive")
    return f"{number(middle)} ({number(low)} to {number(high)})"


def failures(results: Results) -> str:
    """Table of failures: a row for each library, operator and reason."""
    seen: dict[tuple[str, str, str, str], list[str]] = {}
    for record in results.records:
        if record["status"] in ("raises", "died"):
            key = record["library"], record["op"], record["kind"], record["why"]
            words = f"{record['method']} {record['mode']} n = {record['n']}"
            seen.setdefault(key, []).append(words)
    rows = [
        [library, f"`{op}`", kind, "; ".join(where), _escape(why)]
        for (library, op, kind, why), where in seen.items()
    ]
    if not rows:
        return "Nothing."
    return markdown(("library", "operator", "of", "where", "why"), rows)


def _escape(text: str) -> str:
    return f"`{text.replace('`', chr(39)).replace('|', '/')}`"
