"""The grid that Entezari et al. (2023, arXiv 2302.13602) released, judged without running anything.

947 rows of rahimentezari/DataDistributionTransferLearning, ``Hyperparameters_results.tsv``: give
its path with ``--table``. One run of each arm, every setting of its sweep, test accuracies alone:
the best can only be chosen on them, and every number here says so. What the table says is taken as
it stands, but for three things that the paper and its code tell:

- sources whose name has no size are the subsets of 2.7 million that the paper compares;
- ``zero`` is left out: the class names were shuffled against the labels;
- rows of LP-FT say that their linear probe was trained on test features.

``--tuned-alike true`` keeps the one setting that most arms share (rate 1e-4, batch 128, 128
epochs), so that no arm was chosen among more settings than another.
"""

from typing import Any

from raystudy.claims.more_data import MoreDataHelpsFewShotMost
from raystudy.claims.no_source_wins import NoSourceWinsEverywhere
from raystudy.claims.source_spread import SourceSpreadShrinks
from raystudy.claims.worth_more import WorthMoreData
from raystudy.imported import Imported
from raystudy.kinds import Claim
from raystudy.laws.power import OffsetPower
from raystudy.spec import SELECTED, Study

MILLION = 1_000_000
EQUAL = 2_700_000
SHOTS = ("1", "5", "10", "20", "100", "200", "full")
TASKS = ("CIFAR100", "DTD", "CALTECH101", "PETS", "REAL", "CLIPART")
"""Of which the paper prints accuracies. Few-shot numbers of the other three are of some hundred
test images."""
FINE_TUNING = "fine-tune"
OBJECTIVES = {
    "CLIP": {"method": "clip", "adaptation": FINE_TUNING},
    "Supervised": {"method": "supervised", "adaptation": FINE_TUNING},
    "CLIP_LP-FT": {"method": "clip", "adaptation": "lp-ft, probe saw test"},
    "SimCLR_LP-FT": {"method": "simclr", "adaptation": "lp-ft, probe saw test"},
}
SOURCES: dict[str, tuple[str, int]] = {
    "CC3m": ("CC3M", EQUAL),
    "CC12m": ("CC12M", EQUAL),
    "LAION1m": ("LAION", MILLION),
    "LAION2.7m": ("LAION", EQUAL),
    "LAION5m": ("LAION", 5 * MILLION),
    "LAION7.5m": ("LAION", 7_500_000),
    "LAION9.6m": ("LAION", 9_600_000),
    "LAION15m": ("LAION", 15 * MILLION),
    "YFCC_0.5m": ("YFCC", MILLION // 2),
    "YFCC2.7m": ("YFCC", EQUAL),
    "YFCC15m": ("YFCC", 15 * MILLION),
    "Redcaps2.7m": ("RedCaps", EQUAL),
    "WIT2.7m": ("WIT", EQUAL),
    "Shutterstock2.7m": ("Shutterstock", EQUAL),
    "IN1K-Captions": ("ImageNet-Captions", 463_000),
    "IN_1K_CLIP_captions": ("ImageNet, template captions", 1_281_167),
    "IN1K": ("ImageNet", 1_281_167),
    "LAION400m": ("LAION-400M checkpoint", 400 * MILLION),
    "LAION2B": ("LAION-2B checkpoint", 2_000 * MILLION),
    "OpenAI400m": ("OpenAI checkpoint", 400 * MILLION),
}
SHARED = {"ds_lr": 1e-4, "ds_bs": 128, "ds_epochs": 128}


def study(table: str = "data/Hyperparameters_results.tsv", tuned_alike: bool = False) -> Study:
    """``--table`` is the path of the released table."""
    released = Imported(
        path=table,
        columns={"architecture": "arch", "task": "ds"},
        meanings={
            "loss": OBJECTIVES,
            "us": {name: {"source": s, "size": n} for name, (s, n) in SOURCES.items()}
            | {"Scratch": {"source": "none"}, "LAION0m": None},  # the latter is the same, rounded
        },
        wide={shots: {"shots": shots} for shots in SHOTS},
        where=SHARED if tuned_alike else {},
        unit="percent",
        hyper=("ds_lr", "ds_bs", "ds_epochs"),
        repeats="tried",
        selection="test",
    )
    return Study(
        name="released-grid" + ("-tuned-alike" if tuned_alike else ""),
        title="The role of pre-training data: the released grid",
        tables=(released,),
        law=OffsetPower(),
        claims=claims(),
    )


def claims() -> tuple[Claim, ...]:
    """What the paper found. Over tasks where it speaks of several; on each where one run of each
    arm is all there is, which leaves it undecided."""
    about: dict[str, Any] = {
        "adaptation": FINE_TUNING + SELECTED["test"],
        "method": "clip",
        "architecture": "RN50",
    }
    spread = SourceSpreadShrinks(task=TASKS, size=EQUAL, low_shots="10", **about)
    curve = (MILLION, 15 * MILLION)
    return (
        spread,
        *(spread.model_copy(update={"task": task}) for task in TASKS),
        *(
            NoSourceWinsEverywhere(tasks=TASKS, size=EQUAL, shots=shots, **about)
            for shots in ("10", "full")
        ),
        *(
            WorthMoreData(
                task=task,
                adaptation=about["adaptation"],
                better_method="supervised",
                better_source="ImageNet",
                worse_method="clip",
                worse_source="LAION",
                at_least=15,
            )
            for task in TASKS
        ),
        MoreDataHelpsFewShotMost(task=TASKS, source="LAION", sizes=curve, low_shots="10", **about),
    )
