"""What a plan warns of."""

import logging

import pytest

from raystudy.adapt.finetune import FineTune
from raystudy.methods.clip import CLIP
from raystudy.plan import plan
from raystudy.spec import Optimisation, Study
from raystudy.store import Store


def with_warmup(study: Study, **fields: float) -> Study:
    optimisation = Optimisation(**fields)  # pyright: ignore[reportArgumentType]
    grids = [g.model_copy(update={"optimisation": optimisation}) for g in study.grids]
    return study.model_copy(update={"grids": grids})


def test_a_warmup_that_covers_the_run_is_named(
    study: Study, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    # 64 examples in 3 epochs by 16 are 12 steps, 128 are 24; each clean and noisy.
    plan(with_warmup(study, warmup_steps=12), store)
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    text = record.getMessage()
    assert "a warm-up of 12 steps covers all 12 steps of supervised on latin, size 64" in text
    assert "(and 1 more pre-trainings)" in text
    assert "Optimisation.warmup_steps" in text


@pytest.mark.parametrize("fields", [{"warmup_steps": 11}, {"warmup_fraction": 0.9}, {}])
def test_a_warmup_that_ends_is_not(
    fields: dict[str, float], study: Study, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    plan(with_warmup(study, **fields), store)
    assert not caplog.records


def test_what_a_method_lacks_is_known_before_anything_runs(study: Study, store: Store) -> None:
    unknown = CLIP(text="RN51")
    grids = [g.model_copy(update={"methods": (unknown,), "noises": (None,)}) for g in study.grids]
    with pytest.raises(ValueError, match=r"CLIP\.text: 'RN51' is no open_clip model"):
        plan(study.model_copy(update={"grids": grids}), store)


def test_every_arm_is_tuned_as_often(study: Study, store: Store) -> None:
    tuned, baseline = study.grids[0], study.grids[1]
    more = FineTune(num_steps=3, learning_rates=(1e-3, 3e-3))
    arms = (tuned.model_copy(update={"adaptations": (more,)}), baseline)
    with pytest.raises(ValueError, match="chooses among 2 configurations for supervised latin and"):
        plan(study.model_copy(update={"grids": arms}), store)
    alike = baseline.model_copy(update={"adaptations": (more,)})
    assert plan(study.model_copy(update={"grids": (arms[0], alike)}), store).missing_cells
