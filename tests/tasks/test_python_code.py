"""CPython's library as a task: splits by file, nested draws, a sealed test."""

import subprocess
import sys

import numpy as np
import pytest

from raystudy import seal
from raystudy.seal import SealError
from raystudy.subset import few_shot
from raystudy.tasks.python_code import PythonCode
from raystudy.text.corpora import documents
from raystudy.text.documents import of_split
from raystudy.tokenisers.byte_pairs import BytePairs

TASK = PythonCode(num_validation=64, num_test=200)


def test_splits_are_contexts_of_their_files() -> None:
    with seal.opened():
        test = TASK.sealed()
    splits = {"train": TASK.train(), "validation": TASK.validation(), "test": test}
    for name, examples in splits.items():
        contexts = examples.array
        assert contexts.dtype == np.uint16
        assert contexts.shape == (len(examples), 129)
        assert not examples.labels.any()
        files = [d.text.encode() for d in of_split(documents("python"), name)]  # type: ignore[arg-type]
        end = bytes([0])  # of a file, which none of CPython's holds
        joined = end.join(files)
        for row in contexts[:: max(1, len(contexts) // 50)]:
            text = np.where(row == 256, 0, row).astype(np.uint8).tobytes()
            assert text in joined
    assert (len(splits["validation"]), len(test)) == (64, 200)
    assert TASK.num_train() == (len(splits["train"]),)
    assert (TASK.size.train, TASK.size.validation, TASK.size.test) == (len(TASK.train()), 64, 200)


def test_its_test_split_is_sealed() -> None:
    with pytest.raises(SealError, match="the test split of python-code is under seal"):
        TASK.sealed()


def test_fewer_contexts_are_a_part_of_more() -> None:
    train = TASK.train()
    draws = [few_shot(train.ids, train.labels, n, TASK.name, 3) for n in (8, 64, 512)]
    assert draws[0].tolist() == draws[1][:8].tolist()
    assert draws[1].tolist() == draws[2][:64].tolist()


def test_drawn_contexts_are_a_part_of_more_and_from_many_files() -> None:
    more = PythonCode(num_validation=256).validation()
    assert set(TASK.validation().ids) < set(more.ids)
    places = [int(id.rpartition("-")[2]) for id in more.ids]
    assert places == sorted(places)
    assert np.ptp(places) > 1000


def test_it_is_counted_in_tokens() -> None:
    assert TASK.unit == ("tokens", 128)
    assert PythonCode(context=64).unit == ("tokens", 64)


def test_planning_it_loads_no_torch() -> None:
    script = (
        "import sys\n"
        "from raystudy.tasks.python_code import PythonCode\n"
        "from raystudy.sources.text import Text\n"
        "PythonCode().check(); PythonCode().num_train(); Text(corpus='prose').key\n"
        "print('torch' in sys.modules, 'tokenizers' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert found.stdout.strip() == "False False", found.stderr


def test_what_a_tokeniser_lacks_is_said_before_any_work(monkeypatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(FileNotFoundError, match=r"pip install 'raystudy\[text\]'"):
        PythonCode(tokeniser=BytePairs()).check()
