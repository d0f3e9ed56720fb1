"""The report of a study: what it shows of each task, and in which order."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import polars as pl

from raystudy.kinds import Law
from raystudy.laws.effective_data import EffectiveData
from raystudy.laws.fit import FitError, fit
from raystudy.laws.power import OffsetPower
from raystudy.report import (
    affinity,
    curves,
    fairness,
    figures,
    model_choice,
    model_figures,
    model_tables,
    models,
    noise,
    tables,
)
from raystudy.report.curves import Arm
from raystudy.report.figures import Drawn
from raystudy.report.judged import COLUMNS, judged
from raystudy.report.judged import NOTE as POWER_NOTE
from raystudy.report.law_arms import LawArm, Words, law_arm
from raystudy.report.law_figures import bars, checks, equal_compute, paid
from raystudy.report.models import Evidence
from raystudy.report.multiplier_bars import Pair
from raystudy.report.publish import Part, Planned, publish
from raystudy.report.summary import best_arm, summary
from raystudy.report.tables import Table
from raystudy.report.transfer import transfer_parts
from raystudy.report.view import MissingCellsError, View, views
from raystudy.spec import Study

WORDS = Words(("pre-training examples",), "test error", percent=True)
NOTE = (
    "Intervals of means and of paired differences are Student's, 95 %, over seeds; one seed gives "
    "none."
)
LACKING = "Left out, because the ledger lacks the cells"


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
    if isinstance(study.law, EffectiveData):
        parts = transfer_parts(study, records)
    else:
        parts = _parts(study, records, evidence)
    if told := fairness.sentences(study, records):
        parts.insert(0, Part("", fairness.TITLE, told, fairness.items(records)))
    folder.mkdir(parents=True, exist_ok=True)
    claims = [judged(claim, records) for claim in study.claims]
    told = [{name: row.get(name) for name in COLUMNS} for row in claims]
    pl.DataFrame(told, schema=COLUMNS).write_csv(folder / "claims.csv")
    return publish(
        folder,
        title=study.title or study.name,
        about=("Study", study.name),
        note=NOTE,
        parts=parts,
        claims=claims,
        power_note=POWER_NOTE,
        facts=facts,
        lacking=LACKING,
    )


def _parts(study: Study, records: pl.DataFrame, evidence: Evidence | None) -> list[Part]:
    found = views(study, records)
    law = study.law or OffsetPower()
    compared, across = _models(study, records, evidence), _across(study, records)
    parts = [*compared, *across]
    parts += [
        _part(view, law, f"{view.task}-{view.architecture}-" if len(found) > 1 else "")
        for view in found
        # Of models side by side, one part for each task and architecture would say nothing new.
        if not compared and (not across or view.compares)
    ]
    return parts


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


def _models(study: Study, records: pl.DataFrame, evidence: Evidence | None) -> list[Part]:
    """Backbones of several architectures, in and out of distribution."""
    if evidence is None:
        return []
    compared = models.comparisons(
        records,
        (a.name for grid in study.grids for a in grid.adaptations),
        (task.name for grid in study.grids for task in grid.tasks),
    )
    parts = []
    for comparison in compared:
        part = Part(
            f"{comparison.name}-" if len(compared) > 1 else "",
            comparison.title,
            models.sentences(comparison),
        )
        plan: list[tuple[str, Callable[[], Drawn | Table]]] = [
            ("table", lambda c=comparison: model_tables.model_table(c, evidence.spreads)),
            ("table", lambda c=comparison: model_tables.protocol_table(c, evidence.spreads)),
            ("figure", lambda c=comparison: model_figures.ood_against_id(c)),
            ("table", lambda c=comparison: model_choice.line_table(c, evidence.classes)),
            ("figure", lambda c=comparison: model_figures.against_parameters(c, "ood_accuracy")),
            ("figure", lambda c=comparison: model_figures.against_parameters(c, "ood_ece")),
            ("figure", lambda c=comparison: model_figures.calibration_against_accuracy(c)),
            ("table", lambda c=comparison: model_choice.paired_table(c, evidence.hits)),
            ("table", lambda c=comparison: model_choice.promise_table(c, evidence.promises)),
        ]
        if comparison is compared[0]:
            plan[1:1] = [
                ("table", lambda: model_tables.best_table(compared)),
                ("table", lambda: model_tables.ways_table(compared)),
            ]
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
    laws = _law_arms(law, sources, noises)
    pairs = [
        Pair(w.better.name, w.worse.name, w.multiplier, w.refusal)
        for w in (*of_sources, *of_noises)
    ]
    plan: list[Planned] = [
        ("figure", "Accuracy against shots", lambda: figures.accuracy_by_shots(view)),
        ("table", "Accuracy by source and shots", lambda: tables.source_table(view)),
        (
            "figure",
            "Error against pre-training examples",
            lambda: curves.error_by_size(view, sources),
        ),
        ("figure", "Noise against size", lambda: curves.noise_by_size(view, noises)),
        ("table", "Data multipliers", lambda: tables.multiplier_table([*of_sources, *of_noises])),
        (
            "table",
            "What wrong labels cost, in size",
            lambda: noise.exchange_table(noises, of_noises),
        ),
        *bars(pairs),
        *paid(curves.every_arm(view), WORDS.inputs[0], WORDS),
        ("table", "Fitted laws", lambda: tables.law_table(law, sources, noises)),
        *checks(laws, WORDS),
        *equal_compute(laws, WORDS),
        ("table", "Realised noise", lambda: tables.noise_table(view)),
        ("figure", "Methods side by side", lambda: figures.methods_side_by_side(view)),
        ("table", "Accuracy by method and adaptation", lambda: tables.adaptation_table(view)),
        ("figure", "Accuracy under shift", lambda: figures.robustness(view)),
    ]
    part.add(plan)
    return part


def _law_arms(law: Law, sources: Sequence[Arm], noises: Sequence[Arm]) -> list[LawArm]:
    """The arms that have a law, each once: clean labels are an arm of both."""
    known = [arm.runs for arm in sources]
    fresh = [arm for arm in noises if not any(arm.runs.equals(runs) for runs in known)]
    taken = {arm.name for arm in sources}
    names = [arm.name if arm.name not in taken else f"labels {arm.name}" for arm in fresh]
    found = []
    for name, arm in zip([*(arm.name for arm in sources), *names], [*sources, *fresh], strict=True):
        if arm.fit is not None:
            size, error, seed = arm.triple
            with suppress(FitError):
                found.append(law_arm(name, fit(None, law, x=size, y=error, seed=seed)))
    return found
