"""Fine-tunings by name, as papers ran them; each a value to derive from by ``model_copy``.

Of Entezari et al. (2023, arXiv 2302.13602): what the paper and its code agree on. Two things are
meant to differ. The 500 steps of warm-up, longer than a whole run on few examples, are a tenth of
each run here; and learning rates are chosen on validation examples, where the paper looked at the
test split.
"""

from raystudy.adapt.finetune import FineTune
from raystudy.adapt.wise_ft import WiseFt
from raystudy.spec import Augmentation

CLIP_FINE_TUNE = FineTune(
    learning_rates=(1e-4, 3e-4, 1e-3, 3e-3),
    epochs=128,
    batch_size=128,
    weight_decay=0.1,
    schedule="cosine",
    clip_norm=1.0,
    augmentation=Augmentation(random_crop=(0.08, 1.0), flip=True),
    rand_augment="m9-mstd0.5-inc1",
    erase_rate=0.25,
    head="zero-shot",
)
"""From the text tower's head; all weights, which is WiSE-FT at α = 1."""

SIMCLR_FINE_TUNE = CLIP_FINE_TUNE.model_copy(update={"head": "zeros"})
SIMCLR_LP_FT = CLIP_FINE_TUNE.model_copy(update={"head": "probe"})

CLIP_VIT_FINE_TUNE = CLIP_FINE_TUNE.model_copy(
    update={"learning_rates": (3e-6, 6e-6, 1.5e-5, 3e-5)}  # the ends are the paper's
)
CLIP_WISE_FT = WiseFt(finetune=CLIP_FINE_TUNE)
"""The sweep over α that the paper's code offers and its tables leave out."""
