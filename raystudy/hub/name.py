"""The names under which models are published."""

from dataclasses import dataclass
from typing import Literal

FORMS = "timm/NAME.TAG, open_clip/NAME/TAG or hf-hub:OWNER/REPOSITORY"


@dataclass(frozen=True)
class Name:
    """The parts of ``Published.model``."""

    where: Literal["timm", "open_clip", "hf-hub"]
    architecture: str
    """As ``Architecture.name`` would call it, where the name tells."""
    tag: str
    """Which of the weights of that architecture; empty if none are meant."""
    identifier: str
    """What the library, or the hub, calls it: without the prefix, and for open_clip the tag."""


def parse(model: str) -> Name:
    """Raises ValueError for a name of no known form."""
    if model.startswith("hf-hub:"):
        repository = model.removeprefix("hf-hub:")
        owner, _, name = repository.partition("@")[0].partition("/")
        if owner and name and "/" not in name:
            architecture, _, tag = name.partition(".")
            return Name("hf-hub", architecture, tag or owner, repository)
    match model.split("/"):
        case ["timm", name] if name:
            architecture, _, tag = name.partition(".")
            return Name("timm", architecture, tag, name)
        case ["open_clip", name] if name:
            return Name("open_clip", f"open_clip/{name}", "", name)
        case ["open_clip", name, tag] if name and tag:
            return Name("open_clip", f"open_clip/{name}", tag, name)
    raise ValueError(f"Published.model={model!r} is no model's name; write {FORMS}")
