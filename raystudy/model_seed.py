"""The seed of whatever a model draws by itself, dropout say, set before every step."""

import torch


def seed_model(seed: int) -> None:
    """As ``torch.manual_seed``, which where a build of torch knows CUDA and nobody uses it notes
    the call and its whole traceback for later, at every step anew."""
    if torch.cuda.is_available():
        torch.manual_seed(seed)
    else:
        torch.default_generator.manual_seed(seed)
