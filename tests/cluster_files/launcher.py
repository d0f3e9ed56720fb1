"""A cluster's file as ``ray up`` takes it, up to the point where a cloud is asked for machines."""

from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]


def load(file: str | Path) -> dict[str, Any]:
    return yaml.safe_load((ROOT / file).read_text())


def prepared(config: dict[str, Any]) -> dict[str, Any]:
    """With Ray's defaults and by Ray's schema. Raises what Ray raises."""
    from ray.autoscaler._private.util import prepare_config, validate_config

    config = prepare_config(config)
    validate_config(config)
    return config


def commands(config: dict[str, Any]) -> list[str]:
    """Every shell command that any node runs."""
    return [
        command for name, lines in config.items() if name.endswith("_commands") for command in lines
    ]
