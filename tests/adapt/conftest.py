from pathlib import Path

import numpy as np
import pytest

from raystudy.kinds import Examples
from raystudy.spec import Initialisation
from raystudy.stages.extract import StoredEncoder
from raystudy.store import Store
from raystudy.tasks.digits import Digits

from .finetuning import TINY


@pytest.fixture(scope="module")
def train() -> Examples:
    return Digits().train().take(np.arange(0, 800, 13))


@pytest.fixture(scope="module")
def validation() -> Examples:
    return Digits().validation().take(np.arange(0, 200, 5))


@pytest.fixture
def encoder(tmp_path: Path) -> StoredEncoder:
    return StoredEncoder(Initialisation(architecture=TINY, seed=3), Store(tmp_path / "store"))
