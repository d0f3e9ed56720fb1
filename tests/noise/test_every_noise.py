"""What holds for every corruption: it is pure, it nests, it touches only what it is for."""

import json
import subprocess
import sys
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from raystudy.kinds import Annotations, Noise
from raystudy.noise.realised import realised_rate

from .conftest import Make, examples, prefix

some = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
seeds = st.integers(0, 1000)
rates = st.floats(0, 1)
FEW = examples(300)


def outcome(noise: Noise, of: Annotations, seed: int) -> Sequence[int | str]:
    noisy = noise.corrupt(of, seed)
    return noisy.labels.tolist() if noise.corrupts == "label" else list(noisy.captions)


def before(noise: Noise, of: Annotations) -> Sequence[int | str]:
    return of.labels.tolist() if noise.corrupts == "label" else list(of.captions)


@some
@given(rate=rates, seed=seeds, num=st.integers(0, 300))
def test_of_a_prefix_it_is_the_prefix(make: Make, rate: float, seed: int, num: int) -> None:
    """So subsets see the same noise, and nothing depends on who reads which part."""
    noise = make(rate)
    assert outcome(noise, prefix(FEW, num), seed) == outcome(noise, FEW, seed)[:num]


@some
@given(a=rates, b=rates, seed=seeds)
def test_it_nests_across_rates(make: Make, a: float, b: float, seed: int) -> None:
    """What is hit at the lower rate is hit at the higher one, and becomes the same."""
    low, high = make(min(a, b)), make(max(a, b))
    clean, weak, strong = before(low, FEW), outcome(low, FEW, seed), outcome(high, FEW, seed)
    assert all(s == w for c, w, s in zip(clean, weak, strong, strict=True) if w != c)


@some
@given(rate=rates, seed=seeds)
def test_it_touches_only_what_it_corrupts(make: Make, rate: float, seed: int) -> None:
    noise = make(rate)
    noisy = noise.corrupt(FEW, seed)
    assert list(noisy.ids) == list(FEW.ids)
    assert noisy.class_names == FEW.class_names
    if noise.corrupts == "label":
        assert noisy.captions == FEW.captions
        assert noisy.labels.dtype == np.int64
        assert (noisy.labels[FEW.labels < 0] == -1).all()
        kept = noisy.labels[FEW.labels >= 0]
        assert ((kept >= 0) & (kept < len(FEW.class_names))).all()
    else:
        assert (noisy.labels == FEW.labels).all()
        assert [not a for a in noisy.captions] == [not b for b in FEW.captions]


def test_it_leaves_its_input_as_it_was(make: Make) -> None:
    fresh = examples(300)
    make(1.0).corrupt(fresh, 0)
    assert fresh.labels.tolist() == FEW.labels.tolist()
    assert fresh.captions == FEW.captions


def test_seeds_differ(make: Make, clean: Annotations) -> None:
    noise = make(0.5)
    assert outcome(noise, clean, 0) == outcome(noise, clean, 0)
    assert outcome(noise, clean, 0) != outcome(noise, clean, 1)


def test_nothing_happens_at_rate_zero(make: Make, clean: Annotations) -> None:
    noise = make(0.0)
    assert outcome(noise, clean, 3) == before(noise, clean)
    assert noise.nominal_rate == 0
    assert realised_rate(clean, noise.corrupt(clean, 3), noise.corrupts) == 0


def test_nothing_happens_to_nothing(make: Make) -> None:
    assert outcome(make(0.5), prefix(FEW, 0), 0) == []


def test_examples_without_annotation_are_left_alone(make: Make) -> None:
    bare = Annotations(["a", "b"], np.array([-1, -1]), ["", " \n"], FEW.class_names)
    noisy = make(1.0).corrupt(bare, 0)
    assert noisy.labels.tolist() == [-1, -1]
    assert list(noisy.captions) == ["", " \n"]
    assert realised_rate(bare, noisy, make(1.0).corrupts) == 0


def test_names_tell_rates_apart(make: Make) -> None:
    assert make(0.3).name != make(0.6).name
    assert make(0.3).key != make(0.6).key
    assert make(0.3).nominal_rate < make(0.6).nominal_rate


def test_its_needs_are_met(make: Make) -> None:
    make(0.3).check()


@pytest.mark.parametrize("rate", [-0.1, 1.1, float("nan")])
def test_a_rate_is_a_share(make: Make, rate: float) -> None:
    with pytest.raises(ValueError, match=r"rate|strength"):
        make(rate)


def test_labels_beyond_the_class_names_are_refused(make: Make) -> None:
    odd = Annotations(["a"], np.array([9]), ["a sleeping cat"], ("ant", "bee", "cat", "dog"))
    noise = make(1.0)
    if noise.corrupts == "label":
        with pytest.raises(ValueError, match="'a' has label 9, but the source has 4 class names"):
            noise.corrupt(odd, 0)
    else:
        noise.corrupt(odd, 0)


def test_label_noise_needs_two_classes(make: Make) -> None:
    one = Annotations(["a"], np.array([0]), ["a sleeping cat"], ("cat",))
    noise = make(1.0)
    if noise.corrupts == "label":
        with pytest.raises(ValueError, match="two classes or more"):
            noise.corrupt(one, 0)
    else:
        noise.corrupt(one, 0)


def test_another_process_agrees() -> None:
    """Python's own hashes differ between processes; these must not."""
    code = (
        "import json, numpy as np\n"
        "from raystudy.kinds import Annotations\n"
        "from raystudy.noise.typos import Typos\n"
        "from raystudy.noise.pair import Pair\n"
        "few = Annotations(list('abcdef'), np.arange(6), ['black cat %d' % i for i in range(6)],"
        " tuple('uvwxyz'))\n"
        "print(json.dumps([Typos(rate=1).corrupt(few, 1).captions,"
        " Pair(rate=0.5).corrupt(few, 1).labels.tolist()]))\n"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": s}, capture_output=True, check=True
        ).stdout
        for s in ("1", "2")
    }
    (printed,) = outputs
    captions, labels = json.loads(printed)
    assert len(set(captions)) == 6
    assert len(labels) == 6
