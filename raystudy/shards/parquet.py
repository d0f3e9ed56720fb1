"""Parquet files that hold images, as Hugging Face writes them, and img2dataset's metadata.

Format: https://parquet.apache.org/docs/file-format, https://huggingface.co/docs/datasets (features
``Image`` and ``ClassLabel``).
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa

from raystudy.shards.parquet_file import Columns, ParquetFile, kind_of
from raystudy.shards.root import Root
from raystudy.shards.row import (
    NAMES,
    Rows,
    Unusable,
    check_size,
    encodable,
    image_columns,
    label_of,
    metadata,
    text_of,
)
from raystudy.shards.table import Fault, Indexed

log = logging.getLogger(__name__)

IMAGE_COLUMNS = ("image", "jpg", "jpeg", "png", "webp", "img")
LABEL_COLUMNS = ("label", "fine_label", "cls")
CAPTION_COLUMNS = ("caption", "text", "TEXT", "txt")
ID_COLUMNS = ("__key__", "key", "id")
MAX_ID_BYTES = 4096
_IMAGES_AT_ONCE = 32
_TEXTS_AT_ONCE = 1024
_DOCUMENTS_AT_ONCE = 16


def index(root: Root, path: str) -> Indexed:
    """The examples of a parquet file, in its order; ``offset`` is the row.

    The image is the first of ``IMAGE_COLUMNS``: bytes, or a struct of ``bytes`` and ``path``. The
    label is the first of ``LABEL_COLUMNS`` that holds integers, the caption the first of
    ``CAPTION_COLUMNS`` that holds text, the id the first of ``ID_COLUMNS``; without one, it is the
    stem of the image's ``path`` where no two rows of the file share one (Hugging Face keeps no
    folders), else "<file's stem>-<row>". What lies behind damage in a row group is left out.
    Raises ValueError if it is no parquet file or holds no images, OSError.
    """
    rows = Rows()
    with root.open(path) as file:
        table = ParquetFile(file)
        columns = _columns(table.schema)
        if "path" in columns and ("id" in columns or not _tells_apart(table, columns)):
            del columns["path"]
        end = 0
        for group, num_rows in enumerate(table.group_sizes):
            row, end = end, end + num_rows
            try:
                for values in table.rows(columns, group, _IMAGES_AT_ONCE):
                    _add(rows, path, row, values)
                    row += 1
            except ValueError as error:
                where = f"{path} rows {row} to {end - 1}"
                log.warning("%s: %s", where, error)
                rows.lose(Fault.UNREADABLE, where)
    return rows.indexed()


def class_names(root: Root, path: str) -> tuple[str, ...]:
    """The names of the label column's classes in label order, as Hugging Face's schema tells them;
    empty where it does not. Raises ValueError if it is no parquet file, OSError."""
    with root.open(path) as file:
        schema = ParquetFile(file).schema
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        names = features[_columns(schema)["label"]]["names"]
    except (KeyError, TypeError, ValueError, RecursionError):
        return ()
    return tuple(encodable(str(name)) for name in names) if isinstance(names, list) else ()


def metadata_by_key(root: Root, path: str) -> dict[str, dict[str, Any]]:
    """What is known of each example beside its bytes: ``key`` → columns of ``table.METADATA``, of
    the first row with that key. Raises ValueError for what is no such file, OSError."""
    known: dict[str, dict[str, Any]] = {}
    with root.open(path) as file:
        table = ParquetFile(file)
        columns = _columns(table.schema, image=False)
        if "id" not in columns:
            raise ValueError("it has no column 'key'")
        wanted = {role: leaf for role, leaf in columns.items() if role == "id" or role in _METADATA}
        for group in range(len(table.group_sizes)):
            for values in table.rows(wanted, group, _TEXTS_AT_ONCE):
                if (found := metadata(_decoded(values))) and (id := _id(values["id"])):
                    known.setdefault(id, found)
    return known


def texts(root: Root, path: str, column: str) -> Iterator[bytes | None]:
    """A column of text, row by row. Raises ValueError if it is no parquet file or has no such
    column, and where it is damaged, after the rows before; OSError."""
    with root.open(path) as file:
        table = ParquetFile(file)
        kind = kind_of(table.schema, column)
        if kind is None or not _is_text(kind):
            raise ValueError(f"no text in column '{column}'; columns: {table.schema.names[:20]}")
        for group in range(len(table.group_sizes)):
            for values in table.rows({"text": column}, group, _DOCUMENTS_AT_ONCE):
                yield values["text"]


def image_column(schema: pa.Schema) -> str | None:
    """The column that holds the images' bytes, "image.bytes" if it is a field of a struct; None if
    there is none."""
    for name in IMAGE_COLUMNS:
        kind = kind_of(schema, name)
        if kind is not None and _is_bytes(kind):
            return name
        if kind is not None and pa.types.is_struct(kind):
            at = kind.get_field_index("bytes")
            if at >= 0 and _is_bytes(kind.field(at).type):
                return f"{name}.bytes"
    return None


_METADATA = frozenset(name for names in NAMES.values() for name in names)


def _add(rows: Rows, path: str, row: int, values: Mapping[str, Any]) -> None:
    stem = path.rpartition("/")[2].rpartition(".")[0]
    id = _id(values.get("id")) or _stem(values.get("path")) or f"{stem}-{row:07d}"
    where = f"{path}/{id}"
    with rows.example(where):
        if (image := values["image"]) is None:
            raise Unusable(Fault.NO_IMAGE)
        if len(id) > MAX_ID_BYTES:
            raise Unusable(Fault.BAD_TEXT)
        check_size(len(image))
        found = {
            **metadata(_decoded(values)),
            **image_columns(image),
            "id": id,
            "path": path,
            "offset": row,
            "label": label_of(values.get("label")),
            "caption": text_of(values.get("caption") or b""),
        }
        rows.add(where, found)


def _tells_apart(table: ParquetFile, columns: Columns) -> bool:
    """Whether no two rows have the same stem of ``path``."""
    seen: set[str] = set()
    only = {"path": columns["path"]}
    try:
        for group in range(len(table.group_sizes)):
            for values in table.rows(only, group, _TEXTS_AT_ONCE):
                stem = _stem(values["path"])
                if stem in seen:
                    return False
                if stem:
                    seen.add(stem)
    except ValueError:
        return False
    return True


def _id(value: bytes | int | None) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return "" if value is None else str(value)


def _stem(path: bytes | None) -> str:
    name = (path or b"").decode("utf-8", "replace").replace("\\", "/").rpartition("/")[2]
    return name.rpartition(".")[0] or name


def _decoded(values: Mapping[str, Any]) -> dict[str, Any]:
    """The metadata among ``values``, text as str."""
    return {
        name: value.decode("utf-8", "replace") if isinstance(value, bytes) else value
        for name, value in values.items()
        if name in _METADATA
    }


def _columns(schema: pa.Schema, image: bool = True) -> dict[str, str]:
    """By role: image, path, id, label, caption, and metadata by their names in the file. Raises
    ValueError if ``image`` is asked for and there is none."""
    columns: dict[str, str] = {}
    if image:
        leaf = image_column(schema)
        if leaf is None:
            raise ValueError(
                f"no images in its columns {schema.names[:20]}; one of {', '.join(IMAGE_COLUMNS)} "
                "must hold bytes"
            )
        columns["image"] = leaf
        name, _, field = leaf.partition(".")
        kind = kind_of(schema, name)
        if field and (at := kind.get_field_index("path")) >= 0 and _is_text(kind.field(at).type):
            columns["path"] = f"{name}.path"
    for role, names, fits in (
        ("id", ID_COLUMNS, (_is_text, pa.types.is_integer)),
        ("label", LABEL_COLUMNS, (pa.types.is_integer,)),
        ("caption", CAPTION_COLUMNS, (_is_text,)),
        *((n, (n,), (_is_text, pa.types.is_integer, pa.types.is_floating)) for n in _METADATA),
    ):
        for name in names:
            kind = kind_of(schema, name)
            if kind is not None and any(fit(kind) for fit in fits):
                columns.setdefault(role, name)
    return columns


def _is_bytes(kind: pa.DataType) -> bool:
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind)


def _is_text(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind)
