"""A linear head trained with Adam, as Head2Toe was published.

Cosine decay to zero, no augmentation, no weight decay; to the mean cross-entropy may be added the
group lasso λ Σᵢ ‖Wᵢ,:‖₂. Adam follows a subgradient of it, so no weight becomes exactly zero.
Source: the code of arXiv 2201.03529, with its optimiser's ε and its initialisation (Glorot's
uniform); there the order of examples is fixed, here each pass is shuffled.
"""

from __future__ import annotations

import numpy as np

from raystudy.kinds import Floats, Integers
from raystudy.randomness import generator, number

BATCH_SIZE = 128
EPSILON = 1e-7


def train_head(
    x_NxD: Floats,
    labels: Integers,
    num_classes: int,
    *,
    learning_rate: float,
    num_steps: int,
    seed: int,
    strength: float = 0.0,
) -> tuple[Floats, Floats]:
    """Weights (D, C) and bias (C,) float32, a function of the arguments. ``strength`` is λ."""
    import torch
    from torch.nn.functional import cross_entropy

    x, y = torch.from_numpy(np.asarray(x_NxD, np.float32)), torch.from_numpy(labels)
    D = x.shape[1]
    draw = torch.Generator().manual_seed(number(seed, "adam-head/weights"))
    limit = (6 / (D + num_classes)) ** 0.5
    weights = torch.empty(D, num_classes).uniform_(-limit, limit, generator=draw)
    bias = torch.zeros(num_classes)
    weights.requires_grad_()
    bias.requires_grad_()
    optimiser = torch.optim.Adam([weights, bias], learning_rate, eps=EPSILON, fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, num_steps)
    size = min(BATCH_SIZE, len(x))
    order: list[int] = []
    for step in range(num_steps):
        if len(order) < size:
            order += generator(seed, "adam-head/order", step).permutation(len(x)).tolist()
        rows, order = order[:size], order[size:]
        loss = cross_entropy(x[rows] @ weights + bias, y[rows])
        if strength:
            loss = loss + strength * torch.linalg.vector_norm(weights, dim=1).sum()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        schedule.step()
    return weights.detach().numpy(), bias.detach().numpy()
