"""Any text in files as a task: the splits of its source, known by its content."""

from pathlib import Path

import numpy as np
import pytest

from raystudy import seal
from raystudy.absent import TaskOfTextNotHere, TextNotHere, expected
from raystudy.adapt.fine_tune_decoder import FineTuneDecoder
from raystudy.methods.next_token import NextToken
from raystudy.plan import check
from raystudy.sources.text_files import TextFiles
from raystudy.spec import Budget, Grid, Study
from raystudy.tasks.text_in_files import TextInFiles
from raystudy.text.documents import Document, of_split
from raystudy.text.packing import contexts
from raystudy.tokenisers.bytes import Bytes

from ..texts import TINY, document, text_files


def task(folder: Path) -> TextInFiles:
    return TextInFiles(
        path=str(folder), label="words", context=TINY.context, num_validation=30, num_test=40
    )


def test_its_splits_are_those_of_its_documents(tmp_path: Path) -> None:
    text_files(tmp_path, 80)
    found = task(tmp_path)
    found.check()
    named = [Document(f"{i:04d}.txt", document(i)) for i in range(80)]
    whole = {s: contexts(of_split(named, s), Bytes(), TINY.context) for s in ("train", "test")}
    assert np.array_equal(found.train().array, whole["train"])
    assert found.num_train() == (len(whole["train"]),)
    with seal.opened():
        test = found.sealed()
    rows = {row.tobytes() for row in whole["test"]}
    assert len(test) == 40
    assert all(row.tobytes() in rows for row in test.array)
    assert len(found.validation()) == 30


def test_where_it_lies_is_not_what_it_is(tmp_path: Path) -> None:
    for name in ("one", "two"):
        text_files(tmp_path / name)
    one, two = task(tmp_path / "one"), task(tmp_path / "two")
    assert one.key == two.key
    assert (one.name, one.unit) == ("words", ("tokens", TINY.context))
    (tmp_path / "two" / "more.txt").write_text("more")
    assert task(tmp_path / "two").key != one.key


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "none"):
        with pytest.raises(FileNotFoundError, match=r"no file matches \*\*/\*\.txt"):
            task(folder).check()


def test_a_study_of_text_is_planned_before_its_text_is_here(tmp_path: Path) -> None:
    grid = Grid(
        methods=(NextToken(),),
        sources=(TextFiles(path=str(tmp_path / "words"), context=TINY.context),),
        sizes=(96,),
        architectures=(TINY,),
        budget=Budget(batch_size=32),
        tasks=(task(tmp_path / "task"),),
        adaptations=(FineTuneDecoder(),),
        shots=(4, 1 << 40),
        seeds=(0,),
    )
    study = Study(name="absent", grids=(grid,))
    planned, absent = expected(study)
    assert {type(one) for one in absent} == {TextNotHere, TaskOfTextNotHere}
    check(planned.cells())

    for name in ("words", "task"):
        text_files(tmp_path / name)
    planned, absent = expected(study)
    assert (planned, absent) == (study, [])
    with pytest.raises(ValueError, match="shots"):
        check(planned.cells())
