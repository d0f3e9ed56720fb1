"""Selection by left-out domains: which setting does best on a domain that it has not seen?

Gulrajani and Lopez-Paz, *In Search of Lost Domain Generalization*, ICLR 2021 (arXiv 2007.01434),
section 3: leave-one-domain-out cross-validation. Each setting is judged on the validation examples
of every domain in turn, from the training examples of the others; the one with the highest mean
accuracy learns from all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from raystudy.kinds import Adaptation, Adapted, Encoder, Examples


def adapt_by_left_out_domains(
    adaptation: Adaptation,
    train: Examples,
    validation: Examples,
    domain_of: Callable[[str], str],
    encoder: Encoder,
    prompts: Sequence[Sequence[str]],
    seed: int,
) -> Adapted | None:
    """Raises ValueError if the examples are not of two domains or more."""
    learnt, judged = (np.array([domain_of(id) for id in e.ids]) for e in (train, validation))
    domains = np.unique(learnt)
    if len(domains) < 2:
        raise ValueError(
            "selection='domains' leaves out one domain after the other, and all training examples "
            "are of one; select by validation"
        )
    settings, scores = adaptation.configurations(), list[float]()
    for setting in settings if len(settings) > 1 else ():
        accuracies = []
        for domain in domains:
            rest, held_out = (np.flatnonzero(d != domain) for d in (learnt, judged))
            rows = np.flatnonzero(judged == domain)
            found = setting.adapt(
                train.take(rest), validation.take(held_out), encoder, prompts, seed
            )
            if found is None:
                return None
            unseen = validation.take(rows)
            accuracies.append((found.predict(unseen.array).argmax(1) == unseen.labels).mean())
        scores.append(float(np.mean(accuracies)))
    best = int(np.argmax(scores)) if scores else 0
    adapted = settings[best].adapt(train, validation, encoder, prompts, seed)
    if adapted is None or not scores:
        return adapted
    chosen = {**adapted.chosen, "left_out_accuracy": scores[best]}
    return replace(adapted, chosen=chosen, num_tried=len(settings))
