"""A page that opens anywhere, and a file for every figure and table on it."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup

from raystudy.report.figures import Drawn
from raystudy.report.style import inlined, pdf, svg
from raystudy.report.tables import Table
from raystudy.report.view import MissingCellsError
from raystudy.report.words import signed

MARKS = {"supported": "✓", "contradicted": "✗", "undecided": "≈", "not judged": "–"}
Planned = tuple[str, str, Callable[[], Drawn | Table]]
"""("figure" or "table", its title, how it is made)."""


@dataclass
class Part:
    """A part of a page, in reading order."""

    name: str
    title: str
    sentences: list[str]
    items: list[tuple[str, Any]] = field(default_factory=list)
    """("figure", Drawn) or ("table", Table)."""
    missing: list[tuple[str, str]] = field(default_factory=list)
    """What could not be drawn, and what it would take."""

    def add(self, plan: Sequence[Planned]) -> None:
        """Make each item, or say what it lacks."""
        for kind, title, make in plan:
            try:
                self.items.append((kind, make()))
            except MissingCellsError as missing:
                self.missing.append((title, str(missing)))


def publish(
    folder: Path,
    *,
    title: str,
    about: tuple[str, str],
    note: str,
    parts: Sequence[Part],
    claims: Sequence[Mapping[str, Any]] = (),
    power_note: str = "",
    facts: Mapping[str, object],
    lacking: str,
) -> Path:
    """Write ``report.html`` and each figure (pdf, svg, csv) and table (csv) into ``folder``.

    ``about`` is what the page is of, as ("Study", "its name"); ``lacking`` leads the list of what
    is left out; ``power_note`` stands under the claims, ``facts`` at the foot. The same parts
    give the same bytes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    pictures = {}
    for part in parts:
        for kind, item in part.items:
            stem = file_stem(part.name + item.name)
            item.numbers.write_csv(folder / f"{stem}.csv")
            if kind == "figure":
                drawing = svg(item.figure, stem)
                pictures[part.name + item.name] = Markup(inlined(drawing))
                (folder / f"{stem}.svg").write_text(drawing, encoding="utf-8")
                (folder / f"{stem}.pdf").write_bytes(pdf(item.figure))
    page = _template().render(
        marks=MARKS,
        title=title,
        about=about,
        note=note,
        parts=parts,
        claims=claims,
        power_note=power_note,
        pictures=pictures,
        facts=facts,
        lacking=lacking,
    )
    path = folder / "report.html"
    path.write_text(page, encoding="utf-8")
    return path


def file_stem(name: str) -> str:
    """``name`` as a file's name on any system."""
    return re.sub(r"[^A-Za-z0-9.-]+", "-", name)


def _number(value: object) -> str:
    """A fact as it is read: digits in groups of three."""
    if isinstance(value, float):
        return f"{value:,.1f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _signed(value: float | None) -> str:
    if value is None or not math.isfinite(value):
        return "—"
    return signed(value, digits=1 if abs(value) >= 1 else 3, plus=True)


def _interval(claim: Mapping[str, Any]) -> str:
    low, high = claim["low"], claim["high"]
    if not (math.isfinite(low) or math.isfinite(high)):
        return "no interval"
    return f"{_signed(low)} to {_signed(high)}"


def _template() -> Template:
    environment = Environment(
        loader=PackageLoader("raystudy.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "number": _number,
        "signed": _signed,
        "interval": _interval,
        "stem": file_stem,
    }
    return environment.get_template("page.html.jinja")
