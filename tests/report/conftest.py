import polars as pl
import pytest

from raystudy.spec import Study

from .ledger_fixture import make_records, make_study


@pytest.fixture(scope="session")
def records() -> pl.DataFrame:
    return make_records()


@pytest.fixture(scope="session")
def study() -> Study:
    return make_study()
