"""The quickstart as a careful researcher writes it by hand: one script, one thing after the other.

    python benchmarks/by_hand.py FOLDER [--scale tiny] [--seeds 3] [--threads 2]

What is small is held in memory: the rendered characters, read once with webdataset; the digits as
the network sees them; the features of a backbone, for as long as it is probed. Curves and results
go to MLflow, weights, logits and records (``found.json``) to ``FOLDER``.

From raystudy come the data (the renderer of characters; the digits with their splits, shifts and
few-shot draws), the arithmetic of views, and the numbers of the quickstart's recipe; everything
else is here. What is to be run is written out in ``runs`` and ``main``, and held against the plan
of the quickstart by ``study.py``.
"""

import argparse
import copy
import json
import math
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

os.environ |= {"MLFLOW_DISABLE_TELEMETRY": "true"}

import mlflow
import numpy as np
import timm
import torch
import torch.nn.functional as F  # noqa: N812
import webdataset as wds
from clock import Clock
from open_clip import ClipLoss, SimpleTokenizer
from open_clip.transformer import TextTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from threadpoolctl import ThreadpoolController
from torch import Tensor, nn

from raystudy import seal
from raystudy.adapt.finetune import FineTune
from raystudy.adapt.linear_probe import LinearProbe
from raystudy.kinds import Examples
from raystudy.sources.glyphs import Glyphs
from raystudy.spec import Grid, Study
from raystudy.subset import few_shot
from raystudy.tasks.digits import Digits
from raystudy.views import evaluation_view, training_view

sys.path.insert(0, str(Path(__file__).parents[1] / "experiments"))
import quickstart

DIGITS = Digits()
SHOTS = (1, 5, 10, 20, None)
SEEN = quickstart.RESNET.preprocessing
TOKENIZER = SimpleTokenizer(context_length=24)
POOLS = ThreadpoolController()


class Run(NamedTuple):
    """One backbone; ``method`` "none" is an untrained one."""

    method: str
    source: str
    size: int
    noise: float
    seed: int

    def axes(self) -> dict[str, Any]:
        noise = f"symmetric-{self.noise:g}" if self.noise else "clean"
        return self._asdict() | {"noise": noise}

    @property
    def name(self) -> str:
        return "-".join(map(str, self))


def runs(sizes: Sequence[int], num_seeds: int) -> Iterator[Run]:
    largest = sizes[-1]
    for seed in range(num_seeds):
        yield Run("none", "none", 0, 0.0, seed)
        for source, size in product(("latin", "greek", "symbols"), sizes):
            yield Run("supervised", source, size, 0.0, seed)
        for rate, some in ((0.6, sizes), (0.3, sizes[::2])):
            yield from (Run("supervised", "latin", size, rate, seed) for size in some)
        yield Run("clip", "latin", largest, 0.0, seed)
        yield Run("simclr", "latin", largest, 0.0, seed)


def main() -> None:
    clock = Clock()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--scale", default="laptop", choices=["laptop", "tiny"])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    clock.started()
    study = quickstart.study(options.seeds, options.scale)
    recipe, finetune_recipe, strengths = recipes(study)
    largest, work = recipe.sizes[-1], Counter[str]()
    with clock("MLflow"):
        mlflow.set_tracking_uri(f"sqlite:///{options.folder}/mlflow.db")
        mlflow.set_experiment(study.name)
    with clock("sources"):
        sources = {s.name: read(s, options.folder / s.name) for s in recipe.sources}
    with clock("digits"):
        digits, views = see_digits()
    train, results = digits["train"], Results(digits, options.folder, clock)

    for run in runs(recipe.sizes, options.seeds):
        with results.of(run):
            with clock("pre-training"):
                backbone, head = pretrain(run, sources.get(run.source), recipe, clock, work)
            with clock("features"):
                features = {split: embed(backbone, x) for split, x in views.items()}
            supports = {s: few_shot(train.ids, train.labels, s, "digits", run.seed) for s in SHOTS}
            with results.by("linear-probe"):
                for shots, rows in supports.items():
                    with clock("probes"), POOLS.limit(limits=1):
                        predict = probe(features, digits, rows, strengths, work)
                        logits = held_out(features, predict)
                    results.note(shots or "full", len(rows), logits)

            is_clean_latin = (run.source, run.size, run.noise) == ("latin", largest, 0.0)
            if is_clean_latin and (classify := head.zero_shot(sources["latin"].class_names)):
                with results.by("zero-shot"):
                    with clock("probes"), torch.inference_mode():
                        logits = held_out(features, classify)
                    results.note("0", 0, logits)
            if run.method == "none" or (is_clean_latin and run.method == "supervised"):
                with results.by("fine-tune"):
                    for shots, rows in supports.items():
                        with clock("fine-tuning"):
                            tuned = finetune(backbone, train.take(rows), finetune_recipe, run.seed)
                            work["fits"] += 1
                            logits = held_out(views, partial(embed, tuned))
                        results.note(shots or "full", len(rows), logits)
            with clock("files"):
                torch.save(backbone.state_dict(), options.folder / f"weights-{run.name}.pt")

    found = {"work": work, "records": results.records, "seconds": clock.stop()}
    (options.folder / "found.json").write_text(json.dumps(found))


class Results:
    """Scores go into records and to MLflow, logits into a file for each backbone."""

    def __init__(self, digits: Mapping[str, Examples], folder: Path, clock: Clock) -> None:
        self.records: list[dict[str, Any]] = []
        self._digits, self._folder, self._clock = digits, folder, clock
        self._axes: dict[str, Any] = {}
        self._logits: dict[str, np.ndarray] = {}

    @contextmanager
    def of(self, run: Run) -> Iterator[None]:
        self._axes = run.axes()
        with self._clock("MLflow"):
            mlflow.start_run(run_name=run.name)
            mlflow.log_params(self._axes)
        yield
        with self._clock("files"):
            np.savez(self._folder / f"logits-{run.name}.npz", **self._logits)  # pyright: ignore[reportArgumentType]
            self._logits.clear()
        with self._clock("MLflow"):
            mlflow.end_run()

    @contextmanager
    def by(self, adaptation: str) -> Iterator[None]:
        self._axes["adaptation"] = adaptation
        with self._clock("MLflow"):
            mlflow.start_run(run_name=adaptation, nested=True)
            mlflow.log_params(self._axes)
        yield
        with self._clock("MLflow"):
            mlflow.end_run()

    def note(self, shots: int | str, num_train: int, logits: Mapping[str, Tensor]) -> None:
        """One cell."""
        with self._clock("scores"):
            scores = score(logits, self._digits)
            axes = self._axes | {"shots": str(shots)}
            self.records += [axes | {"split": split} | found for split, found in scores.items()]
            name = f"{axes['adaptation']}-{shots}"
            self._logits |= {f"{name}-{split}": x.numpy() for split, x in logits.items()}
        metrics = {f"digits/{s}/{n}": v for s, found in scores.items() for n, v in found.items()}
        with self._clock("MLflow"):
            mlflow.log_metrics(metrics, step=num_train)


def recipes(study: Study) -> tuple[Grid, FineTune, Sequence[float]]:
    """The quickstart's numbers."""
    adaptations = {type(a): a for grid in study.grids for a in grid.adaptations}
    finetune, linear = adaptations[FineTune], adaptations[LinearProbe]
    assert isinstance(finetune, FineTune)
    assert isinstance(linear, LinearProbe)
    return study.grids[0], finetune, linear.strengths


# ── Data ─────────────────────────────────────────────────────────────────────────────────────────


class Characters(NamedTuple):
    images: Tensor
    """uint8 (N, S, S, 3)."""
    labels: np.ndarray
    tokens: Tensor
    """Of captions."""
    class_names: list[str]


def read(source: Any, folder: Path) -> Characters:
    """Render a source to shards, and hold what is in them."""
    assert isinstance(source, Glyphs)
    source.render(folder)
    shards = sorted(map(str, folder.glob("*.tar")))
    data = wds.WebDataset(shards, shardshuffle=False).decode("rgb8").to_tuple("png", "cls", "txt")
    images, labels, captions = zip(*data, strict=True)
    names = (folder / "classnames.txt").read_text().splitlines()
    # Of the others no caption is read.
    tokens = TOKENIZER(list(captions)) if source.name == "latin" else torch.zeros(len(labels), 1)
    return Characters(torch.from_numpy(np.stack(images)), np.array(labels), tokens, names)


def see_digits() -> tuple[dict[str, Examples], dict[str, Tensor]]:
    """Splits, and how the network sees them."""
    digits = {"train": DIGITS.train(), "validation": DIGITS.validation()}
    with seal.opened():
        digits["test"] = DIGITS.sealed()
        digits |= {f"test-{shift}": DIGITS.sealed(shift) for shift in DIGITS.shifts}
    views = {s: evaluation_view(torch.tensor(e.array), SEEN) for s, e in digits.items()}
    return digits, views


# ── Pre-training ─────────────────────────────────────────────────────────────────────────────────


class Supervised(nn.Module):
    num_views = 1

    def __init__(self, width: int, num_classes: int) -> None:
        super().__init__()
        self.head = nn.Linear(width, num_classes)

    def forward(self, features: Tensor, labels: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
        logits = self.head(features)
        return F.cross_entropy(logits, labels), logits.argmax(1) == labels

    def zero_shot(self, class_names: Sequence[str]) -> Callable[[Tensor], Tensor]:
        rows = [class_names.index(name) for name in DIGITS.class_names]
        return lambda features: self.head(features)[:, rows]


class Clip(nn.Module):
    num_views = 1

    def __init__(self, width: int, num_classes: int) -> None:
        super().__init__()
        self.image = nn.Linear(width, 64, bias=False)
        vocabulary = TOKENIZER.vocab_size
        self.text = TextTransformer(24, vocabulary, width=64, heads=2, layers=2, output_dim=64)
        self.log_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))

    def forward(self, features: Tensor, labels: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
        image, text = F.normalize(self.image(features)), F.normalize(self.text(tokens))
        scale = self.log_scale.clamp(max=math.log(100)).exp()
        hits = (image @ text.T).argmax(1) == torch.arange(len(image))
        return ClipLoss()(image, text, scale), hits  # pyright: ignore[reportReturnType]

    def zero_shot(self, class_names: Sequence[str]) -> Callable[[Tensor], Tensor]:
        with torch.inference_mode():
            means = [
                F.normalize(self.text(TOKENIZER(list(prompts)))).mean(0)
                for prompts in DIGITS.prompts()
            ]
            classes = F.normalize(torch.stack(means))
            scale = self.log_scale.exp()
        return lambda features: scale * F.normalize(self.image(features)) @ classes.T


class SimCLR(nn.Module):
    num_views = 2

    def __init__(self, width: int, num_classes: int) -> None:
        super().__init__()
        self.projector = nn.Sequential(
            nn.Linear(width, 256, bias=False),
            nn.BatchNorm1d(256),
            nn.ReLU(inplace=True),
            nn.Linear(256, 64, bias=False),
        )

    def forward(self, features: Tensor, labels: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
        z = F.normalize(self.projector(features))
        scores = (z @ z.T / 0.1).fill_diagonal_(-torch.inf)
        pairs = torch.arange(len(z)).roll(len(z) // 2)
        return F.cross_entropy(scores, pairs), scores.argmax(1) == pairs

    def zero_shot(self, class_names: Sequence[str]) -> None:
        return None


METHODS = {"supervised": Supervised, "clip": Clip, "simclr": SimCLR}


def network(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    model = timm.create_model(quickstart.RESNET.name, num_classes=0, **quickstart.RESNET.args)
    return model.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]


def pretrain(
    run: Run, data: Characters | None, recipe: Grid, clock: Clock, work: Counter[str]
) -> tuple[nn.Module, Any]:
    """A backbone and, unless it is left untrained, what was trained beside it."""
    backbone = network(run.seed)
    if data is None:
        return backbone, None
    o, budget = recipe.optimisation, recipe.budget
    steps, batch = int(budget.epochs * run.size) // budget.batch_size, budget.batch_size
    head = METHODS[run.method](backbone.num_features, len(data.class_names))  # pyright: ignore[reportArgumentType]
    model = nn.ModuleList([backbone, head]).train()
    groups = [
        {"params": [p for p in model.parameters() if p.ndim > 1], "weight_decay": o.weight_decay},
        {"params": [p for p in model.parameters() if p.ndim <= 1], "weight_decay": 0.0},
    ]
    optimiser = torch.optim.AdamW(groups, o.learning_rate, betas=o.betas, fused=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, warmup_then_cosine(steps, int(o.warmup_fraction * steps))
    )
    labels = torch.from_numpy(noisy(data, run.noise, run.seed))
    order = np.random.default_rng([run.seed, run.size])
    subset = np.random.default_rng(run.seed).permutation(len(data.images))[: run.size]
    drawn = torch.Generator().manual_seed(run.seed)
    every = max(1, min(100, steps // 25))
    since = time.perf_counter()
    for step, rows in enumerate(batches(subset, steps, batch, order), 1):
        views = [
            training_view(data.images[rows], SEEN, recipe.augmentation, drawn)
            for _ in range(head.num_views)
        ]
        features = backbone(torch.cat(views) if len(views) > 1 else views[0])
        loss, hits = head(features, labels[rows], data.tokens[rows])
        loss.backward()
        norm = nn.utils.clip_grad_norm_(model.parameters(), o.clip_norm or math.inf)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        work["samples seen"] += len(rows)
        if step % every == 0 or step == steps:
            now = time.perf_counter()
            point = {
                "loss": loss.item(),
                "accuracy": hits.float().mean().item(),
                "gradient_norm": norm.item(),
                "learning_rate": schedule.get_last_lr()[0],
                "samples_seen": step * batch,
                "samples_per_s": ((step - 1) % every + 1) * batch / (now - since),
            }
            with clock("MLflow"):
                mlflow.log_metrics(point, step=step)
            since = time.perf_counter()
        schedule.step()
    work["pre-trainings"] += 1
    return backbone.eval(), head.eval()


def noisy(data: Characters, rate: float, seed: int) -> np.ndarray:
    """Labels of which a share is any other."""
    rng = np.random.default_rng([seed, 1])
    hit = rng.random(len(data.labels)) < rate
    others = data.labels + rng.integers(1, len(data.class_names), len(data.labels))
    return np.where(hit, others % len(data.class_names), data.labels)


def batches(
    rows: np.ndarray, steps: int, size: int, rng: np.random.Generator
) -> Iterator[np.ndarray]:
    """One shuffled pass over the rows after the other, without a seam."""
    passes = [rng.permutation(rows) for _ in range(-(-steps * size // len(rows)))]
    return iter(np.concatenate(passes)[: steps * size].reshape(steps, size))


def warmup_then_cosine(steps: int, warmup: int) -> Callable[[int], float]:
    def rate(step: int) -> float:
        if step < warmup:
            return (step + 1) / (warmup + 1)
        return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))

    return rate


# ── Downstream ───────────────────────────────────────────────────────────────────────────────────


@torch.inference_mode()
def embed(model: nn.Module, views: Tensor) -> Tensor:
    model.eval()
    return torch.cat([model(part) for part in views.split(256)])


def held_out(
    inputs: Mapping[str, Tensor], predict: Callable[[Tensor], Tensor]
) -> dict[str, Tensor]:
    """Logits of all splits that nothing was trained on."""
    return {split: predict(x) for split, x in inputs.items() if split != "train"}


def probe(
    features: Mapping[str, Tensor],
    digits: Mapping[str, Examples],
    rows: np.ndarray,
    strengths: Sequence[float],
    work: Counter[str],
) -> Callable[[Tensor], Tensor]:
    """scikit-learn's logistic regression, as it comes, at the strength that validation likes."""
    x, y = features["train"].double().numpy()[rows], digits["train"].labels[rows]
    mean, deviation = x.mean(0), x.std(0)
    scale = np.maximum(deviation, 0.1 * np.sqrt(np.mean(deviation**2)) + 1e-12)
    x_held_out = (features["validation"].numpy() - mean) / scale
    model = LogisticRegression(max_iter=1000, warm_start=True)
    heads = []
    for strength in strengths:
        model.set_params(C=strength).fit((x - mean) / scale, y)
        loss = log_loss(digits["validation"].labels, model.predict_proba(x_held_out))
        heads.append((loss, model.coef_.copy(), model.intercept_.copy()))
        work["fits"] += 1
    _, weights, bias = min(heads, key=lambda head: head[0])
    return lambda z: torch.from_numpy(((z.numpy() - mean) / scale) @ weights.T + bias)


def finetune(backbone: nn.Module, train: Examples, recipe: FineTune, seed: int) -> nn.Module:
    steps, batch = recipe.num_steps, min(recipe.batch_size, len(train))
    head = nn.Linear(backbone.num_features, len(DIGITS.class_names))  # pyright: ignore[reportArgumentType]
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    model = nn.Sequential(copy.deepcopy(backbone), head).train()
    (rate,) = recipe.learning_rates
    optimiser = torch.optim.AdamW(
        model.parameters(), rate, weight_decay=recipe.weight_decay, fused=True
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser,
        rate,
        total_steps=steps,
        pct_start=max(recipe.warmup_fraction, 1.5 / steps),
        cycle_momentum=False,
    )
    images, labels = torch.tensor(train.array), torch.from_numpy(train.labels)
    drawn = torch.Generator().manual_seed(seed)
    order = np.random.default_rng([seed, len(train)])
    for rows in batches(np.arange(len(train)), steps, batch, order):
        views = training_view(images[rows], SEEN, recipe.augmentation, drawn)
        F.cross_entropy(model(views), labels[rows]).backward()
        optimiser.step()
        schedule.step()
        optimiser.zero_grad(set_to_none=True)
    return model.eval()


def score(
    logits: Mapping[str, Tensor], digits: Mapping[str, Examples]
) -> dict[str, dict[str, float]]:
    found = {}
    for split, values in logits.items():
        labels = torch.from_numpy(digits[split].labels)
        found[split] = {
            "accuracy": (values.argmax(1) == labels).float().mean().item(),
            "nll": F.cross_entropy(values.double(), labels).item(),
        }
    return found


if __name__ == "__main__":
    main()
