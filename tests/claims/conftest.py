from itertools import product

import numpy as np
import polars as pl
import pytest

from raystudy.ledger import SCHEMA

FIXED = {
    "method": "clip",
    "source": "glyphs",
    "size": 1000,
    "noise": "clean",
    "noise_rate": 0.0,
    "architecture": "resnet",
    "task": "digits",
    "adaptation": "linear_probe",
    "shots": "1",
    "seed": 0,
    "split": "test",
    "metric": "accuracy",
}


@pytest.fixture
def ledger():
    """Records from accuracies in points, one axis a keyword whose value is a list."""

    def build(accuracy, **axes):
        values = np.asarray(accuracy, dtype=float) / 100
        levels = {k: v for k, v in axes.items() if isinstance(v, list)}
        fixed = FIXED | {k: v for k, v in axes.items() if not isinstance(v, list)}
        rows = [
            fixed
            | dict(zip(levels, place, strict=True))
            | {"cell": "/".join(map(str, place)), "value": value}
            for place, value in zip(product(*levels.values()), values.flat, strict=True)
        ]
        return pl.DataFrame(rows, schema=SCHEMA)

    return build
