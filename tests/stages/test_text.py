"""Tokens through the stages that images go through: the same order, exact resume, whole studies."""

import json
import os
import zlib
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from raystudy.adapt.fine_tune_decoder import FineTuneDecoder
from raystudy.adapt.finetune import FineTune
from raystudy.card import card
from raystudy.decoder import Decoder
from raystudy.kinds import Rendered
from raystudy.ledger import Ledger
from raystudy.methods.next_token import NextToken
from raystudy.methods.supervised import Supervised
from raystudy.plan import check, plan
from raystudy.run import order_units, run
from raystudy.shards.table import Fault
from raystudy.sources.glyphs import Glyphs
from raystudy.sources.mixture import Mixture
from raystudy.sources.text import Text
from raystudy.spec import (
    Architecture,
    Budget,
    Cell,
    Grid,
    Initialisation,
    Optimisation,
    Pretraining,
    Study,
)
from raystudy.stages.adapt import adapt, units
from raystudy.stages.batches import local_batches
from raystudy.stages.index import index
from raystudy.stages.select import select
from raystudy.stages.site import InProcess
from raystudy.store import Store
from raystudy.tasks.digits import Digits
from raystudy.tasks.python_code import PythonCode
from raystudy.tracking import default_uri

from ..texts import TINY, text_files
from .test_batches import seen
from .test_branching import Counting
from .test_pretrain import KilledError, train, weights

CODE = PythonCode(context=TINY.context, num_validation=40, num_test=60)
QUICK = FineTuneDecoder(learning_rates=(1e-2,), max_steps=40)


def pretraining(folder: Path, size: int = 96, **changes: Any) -> Pretraining:
    fields = {
        "method": NextToken(),
        "architecture": TINY,
        "source": text_files(folder),
        "size": size,
        "budget": Budget(epochs=2, batch_size=16, chunk_size=4),
        "optimisation": Optimisation(learning_rate=1e-2),
    }
    return Pretraining(**(fields | changes))


@pytest.fixture
def spec(tmp_path: Path, store: Store) -> Pretraining:
    torch.set_num_threads(1)
    found = pretraining(tmp_path / "words")
    assert isinstance(found.source, Rendered)
    index(found.source, store)
    return found


def test_a_batch_holds_contexts_of_the_corpus_in_the_exact_order(spec, store) -> None:
    selection = select(spec, store)
    folder = store.local("sources", spec.source.key)
    shards = {p.stem: np.load(p) for p in folder.glob("*.npy")}
    ids = selection.column("id").tolist()
    batches = list(local_batches(spec, selection, store, 0))
    assert [b.step for b in batches] == list(range(spec.num_steps)) == list(range(12))
    epochs = np.concatenate([b.inputs[0] for b in batches])
    assert epochs.dtype == np.uint16
    known = [shards[id.partition("-")[0]][int(id.partition("-")[2])] for id in ids]
    for epoch in (epochs[:96], epochs[96:]):
        assert sorted(map(tuple, epoch.tolist())) == sorted(map(tuple, np.stack(known).tolist()))
    assert not np.array_equal(epochs[:96], epochs[96:])


def test_every_number_of_workers_sees_the_same(spec, store) -> None:
    one = seen(spec, store, 1, 1)
    assert seen(spec, store, 2, 3) == seen(spec, store, 4, 5) == one
    assert seen(spec, store, 2, 2, first=7) == {k: v for k, v in one.items() if k[0] >= 7}


@pytest.mark.parametrize("until", [1, 7])
def test_a_killed_run_ends_with_the_same_weights(spec, store, tmp_path: Path, until: int) -> None:
    whole = Store(tmp_path / "whole")
    index(spec.source, whole)
    train(spec, whole)
    with pytest.raises(KilledError):
        train(spec, store, until)
    train(spec, store)
    one, two = weights(whole, spec), weights(store, spec)
    assert all(torch.equal(two[name], value) for name, value in one.items())


def test_accumulation_and_ema_change_no_rule(spec, store, tmp_path: Path) -> None:
    """Two parts of a step give the gradients of the whole."""
    whole = Store(tmp_path / "whole")
    index(spec.source, whole)
    sgd = Optimisation(optimiser="sgd", learning_rate=0.1)
    specs = [
        spec.model_copy(
            update={
                "optimisation": sgd,
                "budget": Budget(epochs=2, batch_size=16, chunk_size=4, accumulation=parts),
            }
        )
        for parts in (1, 2)
    ]
    found = []
    for one in specs:
        train(one, whole)
        found.append(weights(whole, one))
    for name, value in found[0].items():
        torch.testing.assert_close(found[1][name], value, rtol=1e-4, atol=1e-6)


def test_tokens_that_a_decoder_has_not_are_left_out_and_counted(spec, store) -> None:
    """A context with a rare byte is replaced by the next one, as a damaged image is."""
    counts = np.concatenate(
        [np.load(p) for p in store.local("sources", spec.source.key).glob("*.npy")]
    )
    assert (counts == 256).any(axis=1).mean() < 0.5
    narrow = TINY.model_copy(update={"vocabulary": 256})
    small = spec.model_copy(update={"architecture": narrow})
    batches = list(local_batches(small, select(small, store), store, 0))
    assert sum(b.num_bad for b in batches) > 0
    assert max(int(b.inputs.max()) for b in batches) < 256
    out = np.empty(TINY.context + 1, np.uint16)
    assert narrow.decode(np.full(17, 256, "<u2").tobytes(), out, None) == Fault.UNKNOWN_TOKEN
    assert narrow.decode(b"\0" * 32, out, None) == Fault.OTHER_CONTEXT


def grid(folder: Path, **changes: Any) -> Grid:
    words = text_files(folder / "words")
    fields = {
        "methods": (NextToken(),),
        "sources": (words, Mixture(sources=(words, text_files(folder / "more", 80)))),
        "sizes": (128,),
        "architectures": (TINY,),
        "budget": Budget(epochs=1, batch_size=16, chunk_size=16),
        "tasks": (CODE,),
        "adaptations": (QUICK,),
        "shots": (8, 32),
        "seeds": (0,),
    }
    return Grid(**(fields | changes))


def test_a_study_of_text_runs_whole(tmp_path: Path, store: Store) -> None:
    """From scratch and from two sources, once; nothing is left to do the second time."""
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    torch.set_num_threads(1)
    grids = (grid(tmp_path), grid(tmp_path, methods=(), sources=(), sizes=()))
    study = Study(name="text", grids=grids)
    outcome = run(
        study,
        store,
        lambda: nullcontext(InProcess(store)),
        Counting(),
        default_uri(store.root),  # type: ignore[arg-type]
    )
    assert not outcome.failures
    assert not plan(study, store).missing_cells
    records = Ledger(store).read()
    losses = records.filter(pl.col("metric") == "token-loss")
    assert losses.height == 6 * 2
    assert set(losses["split"]) == {"test", "validation"}
    assert set(records["metric"]) == {"token-loss", "flops", "stored_bytes"}
    assert losses["value"].is_between(1.0, np.log(257)).all()
    assert set(records["num_train"]) == {8, 32}
    assert set(losses["source"]) == {"none", "words", "words + words"}
    assert all(json.loads(c)["stopped"] for c in losses["chosen"])
    for (_, source), of in losses.filter(pl.col("split") == "test").group_by("task", "source"):
        at = dict(of.select("shots", "value").iter_rows())
        assert at["32"] < at["8"], source
    cell = study.cells()[0]
    file = next(f for f in Ledger(store).files() if cell.key in Ledger(store).cells_in(f))
    scored = Ledger(store).scored_splits(file, cell.key)
    assert scored["test"].logits.shape == (60, 1)


def test_a_card_counts_parameters_without_embeddings() -> None:
    found = card(Initialisation(architecture=Decoder(num_layers=2, width=64)))
    assert (found.family, found.num_parameters) == ("decoder", 2 * (12 * 64**2 + 4 * 64) + 128)


def cells(**changes: Any) -> list[Cell]:
    fields = {
        "backbone": Initialisation(architecture=TINY),
        "task": CODE,
        "adaptation": QUICK,
        "shots": 8,
    }
    return [Cell(**(fields | changes))]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"task": Digits()}, "takes tokens, task 'digits' has images"),
        ({"adaptation": FineTune()}, "takes images, task 'python-code' has tokens"),
        (
            {"backbone": Initialisation(architecture=Architecture(name="resnet18"))},
            "resnet18 reads images",
        ),
        ({"task": PythonCode()}, "'python-code' holds 128 tokens, and decoder .* reads 16"),
    ],
)
def test_what_never_fits_is_said_before_any_work(changes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check(cells(**changes))


def test_methods_networks_and_sources_that_never_fit() -> None:
    with pytest.raises(ValueError, match="supervised learns from images, and architecture decoder"):
        Pretraining(method=Supervised(), architecture=TINY, source=Glyphs(script="latin"), size=64)
    run = Pretraining(method=NextToken(), architecture=TINY, source=Text(corpus="cpp"), size=64)
    with pytest.raises(ValueError, match=r"source 'cpp' holds 128 tokens, and decoder .* reads 16"):
        check(cells(backbone=run))


def test_each_amount_of_text_is_a_unit_and_the_largest_comes_first() -> None:
    """One may take minutes, and nobody should wait for it last."""
    initialisation = Initialisation(architecture=TINY)
    cells = [
        Cell(backbone=initialisation, task=CODE, adaptation=QUICK, shots=shots, seed=seed)
        for shots in (4, 16, 8)
        for seed in (0, 1)
    ]
    found = order_units(units(cells))
    assert sum(len(unit.cells) for unit in found) == len(cells)
    assert [unit.cells[0].shots for unit in found] == [16, 8, 4]
    assert all(len(unit.cells) == 2 for unit in found), "seeds of one initialisation"


@pytest.mark.slow
def test_a_byte_unigram_and_zlib_know_less_than_a_short_training(tmp_path: Path) -> None:
    """Sanity on real code: nats a byte of the same held-out contexts."""
    torch.set_num_threads(1)
    store = Store(tmp_path / "store")
    task = PythonCode(context=64, num_validation=40, num_test=150)
    network = Decoder(num_layers=1, width=48, num_heads=2, context=64)
    adaptation = FineTuneDecoder(learning_rates=(5e-3,), look_growth=1.0, max_steps=400)
    cell = Cell(
        backbone=Initialisation(architecture=network),
        task=task,
        adaptation=adaptation,
        shots=4000,
    )
    (unit,) = units([cell])
    adapt(unit, store)
    records = Ledger(store).read().filter(pl.col("metric") == "token-loss")
    model = float(records.filter(pl.col("split") == "test")["value"][0])

    test = task.validation().array  # as good as the sealed one for baselines
    train = task.train().array[:20_000]
    counts = np.bincount(train.ravel(), minlength=257) + 1.0
    unigram = -float(np.log(counts / counts.sum())[test[:, 1:]].mean())
    packed = [zlib.compress(row[row < 256].astype(np.uint8).tobytes(), 9) for row in test]
    bits = 8 * sum(map(len, packed)) / sum(int((row < 256).sum()) for row in test)
    assert model < 2.4 < unigram < bits * np.log(2)
