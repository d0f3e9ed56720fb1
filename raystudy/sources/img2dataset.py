"""The folder that img2dataset leaves behind, which most web data sets are downloaded into.

::

    00000.tar          images (.jpg), captions (.txt), metadata (.json), keyed 000000000 …
    00000.parquet      the same metadata, a row for every pair that was tried
    00000_stats.json   written when the shard is done, and only then

The shards may lie one folder down. Some data sets are published as such tars without the other
files; Nguyen et al. (2022, arXiv 2208.05516) mark a finished shard by ``shard_000000_size.txt``.
Source: https://github.com/rom1504/img2dataset (``writer.py``, ``logger.py``).
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Sequence

import pyarrow as pa

from raystudy.shards.root import Root
from raystudy.shards.table import replaced

log = logging.getLogger(__name__)

MARKS = ("_stats.json", "_size.txt")
"""What follows a shard's name in the name of the file that says it is whole."""
_HELD_OUT = re.compile(r"(?:^|[-_/.])(?:val|valid|validation|test)(?=[-_/.\d]|$)", re.IGNORECASE)


def shards(root: Root) -> Sequence[str]:
    """The training tars whose download finished, at ``root`` or one folder down.

    Where no shard has a mark, all count as finished; where some have, those without are left out:
    img2dataset itself would download them again. So are tars that are named validation or test.
    """
    tars, marked = _listed(root)
    unfinished = _without(tars, marked)
    if unfinished:
        log.warning("left out: %d tars of %s whose download did not finish", len(unfinished), root)
    return sorted(tars[name] for name in tars.keys() - set(unfinished))


def missing(root: Root, advice: str) -> Sequence[str]:
    """What is not there, one line each; ``advice`` says how to get the data set."""
    tars, marked = _listed(root)
    if not tars:
        return [f"no *.tar below {root.url}; {advice}"]
    lines = [
        f"{tars[name]} has no {name}{MARKS[0]}: its download did not finish; "
        "run img2dataset again with --incremental_mode incremental, or delete the tar"
        for name in _without(tars, marked)
    ]
    lines += [
        f"{name}{MARKS[0]} has no {name}.tar; copy or download that shard again"
        for name in sorted(marked - tars.keys())
    ]
    return lines


def is_held_out(path: str) -> bool:
    """Whether a file or its folder is named validation or test."""
    return bool(_HELD_OUT.search(path))


def unambiguous(rows: pa.Table) -> pa.Table:
    """The rows of one shard; ids begin with its folder if it is a tar in one, since img2dataset
    counts its keys anew in each."""
    path = rows["path"][0].as_py() if len(rows) else ""
    folder = path.rpartition("/")[0] if path.endswith(".tar") else ""
    if not folder:
        return rows
    return replaced(rows, "id", [f"{folder}/{id}" for id in rows["id"].to_pylist()])


def _listed(root: Root) -> tuple[dict[str, str], set[str]]:
    """Training tars by their path without ``.tar``, and what is marked as finished likewise."""
    files = [f for f in (*root.glob("*.*"), *root.glob("*/*.*")) if not is_held_out(f)]
    tars = {f.removesuffix(".tar"): f for f in files if f.endswith(".tar")}
    return tars, {f.removesuffix(mark) for mark in MARKS for f in files if f.endswith(mark)}


def _without(tars: Iterable[str], marked: set[str]) -> list[str]:
    tars = set(tars)
    return sorted(tars - marked) if tars & marked else []
