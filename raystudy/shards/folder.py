"""A folder of image files: ImageNet's validation set, torchvision's ImageFolder.

One folder is one shard, without the folders in it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from raystudy.shards.root import Root
from raystudy.shards.row import IMAGE_SUFFIXES, Rows, Unusable, check_size, image_columns
from raystudy.shards.table import Fault, Indexed

REQUESTS = 16
"""Files of an object store that are read at once."""


def index(root: Root, path: str) -> Indexed:
    """One example a file whose suffix is an image's (in any case), sorted by name. The id is the
    file's path below the root without its suffix. Raises OSError if the folder cannot be listed."""
    rows = Rows()
    files = [f for f in root.files(path) if f.rpartition(".")[2].lower() in IMAGE_SUFFIXES]
    for file, image in zip(files, images(root, files), strict=True):
        with rows.example(file):
            if isinstance(image, Fault):
                raise Unusable(image)
            rows.add(file, {"id": file.rpartition(".")[0], "path": file} | image)
    return rows.indexed()


def images(root: Root, paths: Sequence[str]) -> Iterator[dict[str, int] | Fault]:
    """``offset``, ``size``, ``digest``, ``width``, ``height`` of files that are one image each, or
    why one is of no use; in their order."""
    if root.is_local:
        yield from (_image(root, path) for path in paths)
        return
    with ThreadPoolExecutor(REQUESTS, "raystudy-index") as pool:
        yield from pool.map(lambda path: _image(root, path), paths)


def _image(root: Root, path: str) -> dict[str, int] | Fault:
    try:
        with root.open(path) as file:
            check_size(file.size)
            return {"offset": 0} | image_columns(file.at(0, file.size))
    except Unusable as reason:
        return reason.fault
    except FileNotFoundError:
        return Fault.NO_IMAGE
    except (OSError, ValueError):
        return Fault.UNREADABLE
