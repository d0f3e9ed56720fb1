"""What a driver knows of nodes that are yet to come."""

import json
from pathlib import Path

import pytest
import yaml

from raystudy.cluster.reach import NODE_TYPE, NODE_TYPES, cluster_config
from raystudy.nodes import to_come

CONFIG = {
    "head_node_type": "head",
    "max_workers": 3,
    "available_node_types": {
        "head": {"resources": {"CPU": 0}},
        "gpu": {"resources": {"CPU": 8, "GPU": 1}, "max_workers": 2},
    },
}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv(NODE_TYPES, raising=False)
    monkeypatch.delenv(NODE_TYPE, raising=False)
    return tmp_path


def test_nothing_is_known_on_a_laptop() -> None:
    assert cluster_config() is None


def test_a_job_on_a_head_knows_its_file(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "ray_bootstrap_config.yaml").write_text(yaml.safe_dump(CONFIG))
    assert cluster_config() is None, "the file of another cluster"
    monkeypatch.setenv(NODE_TYPE, "ray.head.default")
    assert cluster_config() is None, "the file of another cluster"
    monkeypatch.setenv(NODE_TYPE, "head")
    assert to_come(cluster_config() or {}) == [{"CPU": 8, "GPU": 1}] * 2


def test_told_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    types = {"cpu": {"resources": {"CPU": 4}, "max_workers": 2}}
    monkeypatch.setenv(NODE_TYPES, json.dumps(types))
    assert to_come(cluster_config() or {}) == [{"CPU": 4}] * 2


@pytest.mark.parametrize("text", ["{", "[]", '{"cpu": {"resources": {}}}'])
def test_told_nonsense(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(NODE_TYPES, text)
    with pytest.raises(ValueError, match=r'RAYSTUDY_NODE_TYPES: .*; give {"name"'):
        cluster_config()
