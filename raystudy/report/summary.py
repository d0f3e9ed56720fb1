"""The answer first: what a study found, in the sentences that its numbers allow."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from raystudy.laws.multiplier import MultiplierStatus
from raystudy.report.curves import Arm
from raystudy.report.figures import sources_by_shots
from raystudy.report.tables import Worth
from raystudy.report.view import BASELINE, View, difference
from raystudy.report.words import (
    baseline,
    factor,
    interval,
    listing,
    points,
    pretrained,
    shots_phrase,
    spaced,
)

MISSED = MultiplierStatus.NOT_REACHED


def summary(
    view: View, noises: Sequence[Arm], source_worths: Sequence[Worth], noise_worths: Sequence[Worth]
) -> list[str]:
    """Sentences, most important first; those whose cells are missing are left out."""
    return [*_winner(view), *_noise(noises), *_worth(source_worths, noise_worths)]


def best_arm(arms: Sequence[Arm]) -> Arm | None:
    """The arm of lowest mean error at its largest size."""
    errors = [arm.largest["error"].to_numpy().mean() for arm in arms]
    return arms[errors.index(min(errors))] if arms else None


def _winner(view: View) -> list[str]:
    at = sources_by_shots(view).filter(shots=view.few).sort("accuracy", descending=True)
    if at.is_empty():
        return []
    best = at.row(0, named=True)
    place = f"At {shots_phrase(view.few)}"
    text = (
        f"{place}, a {spaced(view.probe)} on {view.method} {best['source']} pre-training "
        f"({pretrained(view.size)}) gets {interval(best)} of {view.task} test images right"
    )
    own = _runs(view, best["source"])
    if gap := difference(own, view.test(method=BASELINE, adaptation=view.probe, shots=view.few)):
        text += f", {points(gap)} more than {baseline(view.probe)}"
    sentences = [text + "."]
    if len(at) > 1:
        second = at.row(1, named=True)["source"]
        if gap := difference(own, _runs(view, second)):
            doubt = "" if (gap["low"] or 0) > 0 else ", which is within the noise of seeds"
            doubt = ", judged by one seed" if gap["low"] is None else doubt
            sentences.append(f"The next source, {second}, is behind by {points(gap)}{doubt}.")
    return sentences


def _noise(arms: Sequence[Arm]) -> list[str]:
    if len(arms) < 2 or arms[0].name != "clean":
        return []
    clean, worst = arms[0], arms[-1]
    size = worst.largest["size"][0]
    gap = difference(worst.largest, clean.runs.filter(size=size), "error")
    if gap is None:
        return []
    verb = "costs" if gap["mean"] > 0 else "does not cost accuracy:"
    return [f"Noise {worst.name} {verb} {points(gap)} at {size:,} examples."]


def _worth(sources: Sequence[Worth], noises: Sequence[Worth]) -> list[str]:
    told = []
    for subject, found in (("Data of {} is", sources), ("Clean data is", noises)):
        read = [(w.worse.name, w.multiplier) for w in found if w.multiplier]
        alone = any(w.better.runs["seed"].n_unique() == 1 for w in found)
        doubt = ", judged by one seed, which gives no interval" if alone else ""
        reached = [
            f"{factor(m.text)} the data of {name}" for name, m in read if m.status is not MISSED
        ]
        if reached:
            told.append(f"{subject.format(found[0].better.name)} worth {listing(reached)}{doubt}.")
        told += [
            f"Data multiplier of {found[0].better.name} over {name}: {factor(m.text)}."
            for name, m in read
            if m.status is MISSED
        ]
    return told


def _runs(view: View, source: str) -> pl.DataFrame:
    return view.test(
        method=view.method,
        source=source,
        noise="clean",
        size=view.size,
        adaptation=view.probe,
        shots=view.few,
    )
