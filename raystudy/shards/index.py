"""The examples of one shard, whatever its format, which its content tells and not its name."""

from __future__ import annotations

import logging

from raystudy.shards import contexts, folder, parquet, tar, tsv
from raystudy.shards.root import Root
from raystudy.shards.table import SCHEMA, Fault, Indexed

log = logging.getLogger(__name__)


def index_shard(root: Root, path: str) -> Indexed:
    """The examples of a tar, a parquet file, a folder of images, a table of image files or one of
    contexts.

    Nothing in a shard makes it raise: what cannot be used is counted, and a shard that cannot be
    read at all is empty and counted as UNREADABLE_SHARD, with a warning that says why.
    """
    try:
        try:
            with root.open(path) as file:
                start = file.at(0, tar.BLOCK)
        except IsADirectoryError:
            return folder.index(root, path)
        except FileNotFoundError:
            if root.files(path):  # some object stores know no folders
                return folder.index(root, path)
            raise
        if start.startswith(b"PAR1"):
            return parquet.index(root, path)
        if start.startswith(contexts.MAGIC):
            return contexts.index(root, path)
        if tar.starts_tar(start):
            return tar.index(root, path)
        if not start or b"\0" in start:
            raise ValueError(
                "neither a tar, a parquet file, contexts nor a text table (nor a folder)"
            )
        return tsv.index(root, path)
    except (OSError, ValueError) as error:
        log.warning("%s is left out: %s", path, error)
        unreadable = Indexed(SCHEMA.empty_table())
        unreadable.lose(Fault.UNREADABLE_SHARD, path)
        return unreadable
