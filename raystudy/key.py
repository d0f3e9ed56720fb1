"""The canonical form and the key of a spec: what makes two results the same result.

key = hash(kind, class name, VERSION, fields that differ from their default, inputs likewise).
Fields are coerced by their type before they come here, so ``lr=1`` and ``lr=1.0`` agree. A field
added later with a default that changes nothing leaves every old key as it was. Fields that say
where data lies (``elsewhere``) are left out; what lies there (``content``) stands in for them.
"""

import hashlib
import json
import math
from collections.abc import Callable
from enum import Enum
from typing import Any

from pydantic import BaseModel

Canonical = dict[str, Any]


def key(spec: BaseModel) -> str:
    """20 hexadecimal digits (80 bits) that name ``spec``; inputs enter by their own keys."""
    return digest(canonical(spec, inner=lambda part: getattr(part, "key", None) or key(part)))


def digest(value: Any) -> str:
    """The hash of anything JSON can write."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.blake2b(text.encode(), digest_size=10).hexdigest()


def canonical(spec: BaseModel, inner: Callable[[BaseModel], Any] | None = None) -> Canonical:
    """``spec`` as plain JSON values: its class, its version, and the fields that are not default.
    ``inner`` writes the specs it holds (by default likewise, in full).

    Raises ValueError for a field that is not finite, TypeError for one that JSON cannot hold.
    """
    cls = type(spec)
    form: Canonical = {
        "kind": getattr(cls, "kind", cls.__name__),
        "class": cls.__name__,
        "version": getattr(cls, "VERSION", 1),
    }
    fields = {}
    if (content := getattr(spec, "content", None)) is not None:
        fields["content"] = content
    for name, field in cls.model_fields.items():
        if name in getattr(cls, "elsewhere", ()):
            continue
        value = getattr(spec, name)
        if field.is_required() or value != field.get_default(call_default_factory=True):
            fields[name] = _plain(value, f"{cls.__name__}.{name}", inner or canonical)
    return form | ({"fields": fields} if fields else {})


def difference(old: Canonical, new: Canonical, path: str = "") -> list[str]:
    """Each field in which two canonical forms differ, as one line ``path: old → new``."""
    if old == new:
        return []
    if not (isinstance(old, dict) and isinstance(new, dict)):
        return [f"{path}: {json.dumps(old)} → {json.dumps(new)}"]
    if "class" in old and old.get("class") != new.get("class"):
        return [f"{path}: {old['class']} → {new.get('class')}"]
    lines = []
    for name in sorted(old.keys() | new.keys()):
        inner = path if name == "fields" else f"{path}.{name}".lstrip(".")
        missing: Any = {} if name == "fields" else "default"
        lines += difference(old.get(name, missing), new.get(name, missing), inner)
    return lines


def _plain(value: Any, where: str, inner: Callable[[BaseModel], Any]) -> Any:
    match value:
        case BaseModel():
            return inner(value)
        case Enum():
            return value.value
        case bool() | int() | str() | None:
            return value
        case float():
            if not math.isfinite(value):
                raise ValueError(f"{where}: {value} has no key; give a finite number")
            return value
        case tuple() | list():
            return [_plain(v, where, inner) for v in value]
        case dict():
            return {str(k): _plain(v, where, inner) for k, v in value.items()}
        case _:
            raise TypeError(f"{where}: a {type(value).__name__} has no canonical form")
