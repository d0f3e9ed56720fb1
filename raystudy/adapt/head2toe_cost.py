"""What Head2Toe costs beside fine-tuning, counted as its paper counts (arXiv 2201.03529).

f: operations of one forward pass of the backbone for one image; N: training images; S: steps of
128 examples; C: classes; D: features of all layers; K: features that are kept; P: parameters.
"""

BATCH_SIZE = 128


def head_flops(num_steps: int, num_classes: int, num_features: int) -> float:
    """Of training a linear head: 6 · 128 · S · C · D, for the scores, and again with K for D, for
    the head on what is kept."""
    return 6.0 * BATCH_SIZE * num_steps * num_classes * num_features


def head2toe_flops(
    forward_flops: float,
    num_train: int,
    num_steps: int,
    num_classes: int,
    num_features: int,
    num_kept: int,
) -> float:
    """2 N f + 6 · 128 · S · C · (D + K): the images are embedded once for the scores and once for
    the head."""
    heads = head_flops(num_steps, num_classes, num_features + num_kept)
    return 2.0 * num_train * forward_flops + heads


def finetuning_flops(forward_flops: float, num_steps: int) -> float:
    """3 f · 128 · S: a backward pass costs two forward passes."""
    return 3.0 * forward_flops * BATCH_SIZE * num_steps


def head2toe_bytes(num_classes: int, num_features: int, num_kept: int) -> float:
    """Of one task: C (K + 1) weights of 32 bits, and one bit for each of D features."""
    return (32.0 * num_classes * (num_kept + 1) + num_features) / 8


def finetuning_bytes(num_parameters: int) -> float:
    """Of one task: every parameter, of 32 bits."""
    return 4.0 * num_parameters
