"""What the entries of a table mean: texts and numbers as counts, rates, shots, seeds, results."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import polars as pl

EMPTY = ("", "nan", "na", "n/a", "null", "none", "-", "--", "—")
"""How tables say, in any case, that there is no number."""
COUNT = re.compile(r"([0-9][0-9_]*(?:\.[0-9]+)?(?:e\+?[0-9]+)?)\s*([kmb]?)")
UNITS = {"": 1, "k": 10**3, "m": 10**6, "b": 10**9}
LARGEST = 2**62


def entries(raw: pl.Series, name: str, place: Callable[[int], str]) -> pl.Series:
    """A column of a table as the column ``name`` of a ledger: of the same length, null where a fact
    or a result is missing. Raises ValueError that begins with ``place(row)``, rows from 0."""
    if raw.dtype.is_float():
        raw = raw.fill_nan(None)
    if name == "seed":
        return _seeds(raw, place)
    dtype, parse = KINDS.get(name, (pl.String, _text))
    found: dict[Any, Any] = {}
    for entry in raw.unique(maintain_order=True):
        try:
            found[entry] = parse(entry)
        except ValueError as error:
            raise ValueError(f"{place(raw.to_list().index(entry))}: {error}") from None
    return pl.Series([found[entry] for entry in raw], dtype=dtype)


def _text(entry: Any) -> str:
    if entry is None or entry == "":
        raise ValueError("is empty; fill it in, or leave the row out")
    return str(entry)


def _number(entry: Any) -> float | None:
    """None where there is none. A bad entry is told by what would do in its place."""
    if entry is None or str(entry).lower() in EMPTY:
        return None
    try:
        number = float(str(entry).removesuffix("%"))
    except ValueError:
        raise ValueError(f"'{entry}' is no number; correct it, or leave it empty") from None
    if not math.isfinite(number):
        raise ValueError(f"'{entry}' is not finite; correct it, or leave it empty")
    return number


def _count(entry: Any) -> int:
    text = str(entry).strip().lower().replace(",", "_")
    match = COUNT.fullmatch(text)
    number = float(match[1].replace("_", "")) * UNITS[match[2]] if match else math.nan
    if not match or number > LARGEST or round(number) != number:
        # 2.7 × 10⁶ in floating point is whole to rounding only.
        if match and number < LARGEST and abs(round(number) - number) < 1e-6:
            return round(number)
        raise ValueError(f"'{entry}' is no count; write 2700000, 2.7M or 2.7e6")
    return int(text) if text.isdigit() else round(number)


def _rate(entry: Any) -> float:
    number = _number(entry)
    if number is None or not 0 <= number <= 1:
        raise ValueError(f"'{entry}' is no rate; write a share from 0 to 1")
    return number


def _shots(entry: Any) -> str:
    if isinstance(entry, str) and entry.lower() == "full":
        return "full"
    try:
        return str(_count(entry))
    except ValueError:
        raise ValueError(
            f"'{entry}' is no number of shots; write 1, 5, …, full, or 0 for none"
        ) from None


def _fact(parse: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda entry: None if _is_empty(entry) else parse(entry)


def _is_empty(entry: Any) -> bool:
    return entry is None or str(entry).lower() in EMPTY


def _seeds(raw: pl.Series, place: Callable[[int], str]) -> pl.Series:
    """Whole numbers as they are; other labels are numbered as they come."""
    labels = list(map(_text, _present(raw, place)))
    try:
        return pl.Series([_whole(label) for label in labels], dtype=pl.Int64)
    except ValueError:
        order = {label: i for i, label in enumerate(dict.fromkeys(labels))}
        return pl.Series([order[label] for label in labels], dtype=pl.Int64)


def _present(raw: pl.Series, place: Callable[[int], str]) -> list[Any]:
    found = raw.to_list()
    for row, entry in enumerate(found):
        if entry is None or entry == "":
            raise ValueError(f"{place(row)}: is empty; fill it in, or leave the row out")
    return found


def _whole(label: str) -> int:
    number = float(label)
    if round(number) != number or abs(number) > LARGEST:
        raise ValueError(label)
    return round(number)


KINDS: dict[str, tuple[Any, Callable[[Any], Any]]] = {
    "size": (pl.Int64, _count),
    "shots": (pl.String, _shots),
    "noise_rate": (pl.Float64, _rate),
    "realised_noise": (pl.Float64, _fact(_rate)),
    "num_train": (pl.Int64, _fact(_count)),
    "num_tried": (pl.Int64, _fact(_count)),
    "seconds": (pl.Float64, _number),
    "value": (pl.Float64, _number),
}
"""Others are texts."""
