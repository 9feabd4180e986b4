"""Record of what was softened, what stays hard, where, and why."""

from __future__ import annotations

from typing import NamedTuple


class Entry(NamedTuple):
    """A line of a report."""

    primitive: str
    place: str
    outcome: str
    how: str


SOFT, KEPT, HARD = "soft", "kept", "hard"
"""Outcomes: softened, hard as it should be, and hard for want of a rule."""


class Record:
    """Entries in the order in which they were met, each once.

    `touched`: whether the equation at hand has been softened itself, rather than those
    of a function that it calls.
    """

    touched = False

    def __init__(self) -> None:
        self._entries: dict[Entry, None] = {}

    def add(self, primitive: str, place: str, outcome: str, how: str) -> None:
        self._entries[Entry(primitive, place, outcome, how)] = None

    @property
    def entries(self) -> list[Entry]:
        return list(self._entries)

    @property
    def hard(self) -> list[Entry]:
        return [entry for entry in self._entries if entry.outcome == HARD]


class Report:
    """A table of the operations of a program that have a kink or a jump.

    `entries` are tuples `(primitive, place, outcome, how)`, where the outcome is
    `"soft"`, `"kept"` (hard, as it should be) or `"hard"` (for want of a rule).
    """

    def __init__(self, entries: list[Entry]) -> None:
        self.entries = entries

    @property
    def hard(self) -> list[Entry]:
        """Operations that depend on floats and stay hard, for want of a rule."""
        return [entry for entry in self.entries if entry.outcome == HARD]

    def __repr__(self) -> str:
        if not self.entries:
            return "nothing to soften"
        rows = [Entry._fields, *self.entries]
        widths = [max(len(row[i]) for row in rows) for i in range(len(Entry._fields))]
        lines = (
            "  ".join(
                cell.ljust(width) for cell, width in zip(row, widths, strict=True)
            )
            for row in rows
        )
        return "\n".join(line.rstrip() for line in lines)


def describe(entries: list[Entry]) -> str:
    """Operations that stay hard, as a message."""
    listed = "; ".join(
        f"{entry.primitive} at {entry.place} ({entry.how})" for entry in entries
    )
    return (
        f"soften: these depend on floats and stay hard: {listed}. Wrap what is meant "
        "to in softjax.keep_hard, or pass on_unsupported='ignore'."
    )
