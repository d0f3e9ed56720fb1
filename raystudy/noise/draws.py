"""The two draws behind every corruption: whether an example is hit, and what becomes of it.

An example is hit when its own draw falls below the rate, and what it becomes is a second draw of
its own. So what is hit at 0.3 is hit at 0.6 too, and becomes the same. All kinds of noise share
both draws: at one rate two of them hit the same examples, which makes comparisons of them paired.
"""

import numpy as np
from numpy.typing import NDArray

from raystudy.kinds import Annotations, Floats, Integers, Noise
from raystudy.randomness import uniform


def hits(noise: Noise, clean: Annotations, rate: float | Floats, seed: int) -> NDArray[np.bool_]:
    """Which examples are corrupted, at one ``rate`` or at one each. Shape (N,).

    An example without the label or caption that ``noise`` corrupts is never among them.
    """
    return annotated(clean, noise.corrupts) & (uniform(seed, "noise/hit", clean.ids) < rate)


def targets(clean: Annotations, seed: int) -> NDArray[np.float64]:
    """A number in [0, 1) for each example, from which follows what it becomes. Shape (N,)."""
    return uniform(seed, "noise/to", clean.ids)


def annotated(clean: Annotations, what: str) -> NDArray[np.bool_]:
    """Which examples have a ``label``, or a ``caption``. Shape (N,)."""
    if what == "label":
        return clean.labels >= 0
    return np.fromiter((bool(c and not c.isspace()) for c in clean.captions), bool, len(clean.ids))


def other_class(labels: Integers, num_classes: int, draws: Floats) -> Integers:
    """For each label another one, uniformly: ``draws`` in [0, 1). All of shape (N,)."""
    return (labels + 1 + np.floor(draws * (num_classes - 1)).astype(np.int64)) % num_classes


def count_classes(noise: Noise, clean: Annotations) -> int:
    """How many classes there are.

    Raises ValueError for fewer than two, which leave no other label to move to, and for a label
    that no class name belongs to.
    """
    num_classes = len(clean.class_names)
    if num_classes < 2:
        raise ValueError(f"{noise.name}: needs two classes or more, not {num_classes}")
    if (beyond := np.flatnonzero(clean.labels >= num_classes)).size:
        first = int(beyond[0])
        raise ValueError(
            f"{noise.name}: example '{clean.ids[first]}' has label {clean.labels[first]}, but the "
            f"source has {num_classes} class names; complete them"
        )
    return num_classes
