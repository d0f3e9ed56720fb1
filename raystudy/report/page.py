"""The report: one page that opens anywhere, and a file for every figure and table on it."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import polars as pl
from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup

from raystudy.kinds import Claim, Law
from raystudy.laws.power import OffsetPower
from raystudy.report import affinity, curves, fairness, figures, models, tables
from raystudy.report.figures import Drawn
from raystudy.report.models import Evidence
from raystudy.report.style import inlined, pdf, svg
from raystudy.report.summary import best_arm, summary
from raystudy.report.tables import Table
from raystudy.report.view import MissingCellsError, View, views
from raystudy.report.words import signed
from raystudy.spec import Study

MARKS = {"supported": "✓", "contradicted": "✗", "undecided": "≈", "not judged": "–"}
CLAIM_COLUMNS = {
    "statement": pl.String,
    "status": pl.String,
    "effect": pl.Float64,
    "low": pl.Float64,
    "high": pl.Float64,
    "unit": pl.String,
    "detail": pl.String,
}


@dataclass
class Part:
    """What the page shows of one view, in reading order."""

    name: str
    title: str
    sentences: list[str]
    items: list[tuple[str, Any]] = field(default_factory=list)
    """("figure", Drawn) or ("table", Table)."""
    missing: list[tuple[str, str]] = field(default_factory=list)
    """What could not be drawn, and which cells it would take."""


def write_report(
    study: Study,
    records: pl.DataFrame,
    folder: Path,
    facts: Mapping[str, object],
    evidence: Evidence | None = None,
) -> Path:
    """Write ``report.html`` and each figure (pdf, svg, csv) and table (csv) into ``folder``.

    ``records`` as ``Ledger.read`` returns them, where models are compared with what
    ``raystudy.annotate`` adds; ``facts`` are numbers about the run, shown at the foot;
    ``evidence`` is what a comparison of models looks at beside them. The same records give the
    same bytes. Raises MissingCellsError where no cell is finished.
    """
    found = views(study, records)
    law = study.law or OffsetPower()
    folder.mkdir(parents=True, exist_ok=True)
    compared, across = _models(records, evidence), _across(study, records)
    parts = [*compared, *across]
    parts += [
        _part(view, law, f"{view.task}-{view.architecture}-" if len(found) > 1 else "")
        for view in found
        # Of models side by side, one part for each task and architecture would say nothing new.
        if not compared and (not across or view.compares)
    ]
    if told := fairness.sentences(study, records):
        parts.insert(0, Part("", fairness.TITLE, told, fairness.items(records)))
    claims = [_judged(claim, records) for claim in study.claims]
    pl.DataFrame(claims, schema=CLAIM_COLUMNS).write_csv(folder / "claims.csv")
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
        title=study.title or study.name,
        study=study.name,
        parts=parts,
        claims=claims,
        pictures=pictures,
        facts=facts,
    )
    path = folder / "report.html"
    path.write_text(page, encoding="utf-8")
    return path


def _across(study: Study, records: pl.DataFrame) -> list[Part]:
    """What only several tasks side by side can show."""
    found = affinity.suites(study, records)
    return [
        Part(
            f"{suite.name}-" if len(found) > 1 else "",
            suite.title,
            affinity.affinity_sentences(suite),
            [
                ("figure", affinity.affinity_figure(suite)),
                ("table", affinity.affinity_table(suite)),
            ],
        )
        for suite in found
    ]


def _models(records: pl.DataFrame, evidence: Evidence | None) -> list[Part]:
    """Backbones of several architectures, in and out of distribution."""
    compared = models.comparisons(records) if "family" in records.columns else []
    parts = []
    for comparison in compared:
        part = Part(
            f"{comparison.name}-" if len(compared) > 1 else "",
            comparison.title,
            models.sentences(comparison),
        )
        plan: list[tuple[str, Callable[[], Drawn | Table]]] = [
            ("table", lambda c=comparison: models.model_table(c)),
            ("figure", lambda c=comparison: models.ood_against_id(c)),
            ("figure", lambda c=comparison: models.against_parameters(c, "ood_accuracy")),
            ("figure", lambda c=comparison: models.against_parameters(c, "ood_ece")),
            ("figure", lambda c=comparison: models.calibration_against_accuracy(c)),
        ]
        if evidence is not None:
            plan += [
                ("table", lambda c=comparison: models.paired_table(c, evidence.hits)),
                ("table", lambda c=comparison: models.promise_table(c, evidence.promises)),
            ]
        if comparison is compared[0]:
            plan.insert(1, ("table", lambda: models.best_table(compared)))
        for kind, make in plan:
            with suppress(MissingCellsError):
                part.items.append((kind, make()))
        parts.append(part)
    return parts


def _part(view: View, law: Law, prefix: str) -> Part:
    sources, noises = curves.source_arms(view, law), curves.noise_arms(view, law)
    clean = next((arm for arm in noises if arm.name == "clean"), None)
    of_sources = tables.worths(law, sources, best_arm(sources))
    of_noises = tables.worths(law, noises, clean)
    part = Part(
        prefix, f"{view.task}, {view.architecture}", summary(view, noises, of_sources, of_noises)
    )
    plan: list[tuple[str, str, Callable[[], Drawn | Table]]] = [
        ("figure", "Accuracy against shots", lambda: figures.accuracy_by_shots(view)),
        ("table", "Accuracy by source and shots", lambda: tables.source_table(view)),
        (
            "figure",
            "Error against pre-training examples",
            lambda: curves.error_by_size(view, sources),
        ),
        ("figure", "Label noise against size", lambda: curves.noise_by_size(view, noises)),
        ("table", "Data multipliers", lambda: tables.multiplier_table([*of_sources, *of_noises])),
        ("table", "Fitted laws", lambda: tables.law_table(law, sources, noises)),
        ("table", "Realised noise", lambda: tables.noise_table(view)),
        ("figure", "Methods side by side", lambda: figures.methods_side_by_side(view)),
        ("table", "Accuracy by method and adaptation", lambda: tables.adaptation_table(view)),
        ("figure", "Accuracy under shift", lambda: figures.robustness(view)),
    ]
    for kind, title, make in plan:
        try:
            part.items.append((kind, make()))
        except MissingCellsError as missing:
            part.missing.append((title, str(missing)))
    return part


def _judged(claim: Claim, records: pl.DataFrame) -> dict[str, Any]:
    """One row of the claims table; a claim whose cells are missing is not judged, and says so."""
    row: dict[str, Any] = {"statement": claim.statement}
    try:
        return row | asdict(claim.judge(records))
    except ValueError as missing:
        return row | {"status": "not judged", "detail": str(missing)}


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
