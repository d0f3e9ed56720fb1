"""Device-hours become wall time and money, from the table in a cluster's file."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from raystudy.nodes import node_types, preferred, to_come, with_those_to_come
from raystudy.plan import plan
from raystudy.price import START_S, Cluster, makespan, price, read_cluster, shares
from raystudy.spec import Study
from raystudy.store import Store

CONFIG: dict[str, Any] = {
    "head_node_type": "head",
    "max_workers": 5,
    "available_node_types": {
        "head": {"resources": {"CPU": 0}},
        "old": {"resources": {"CPU": 8, "GPU": 2}, "max_workers": 4, "priority": 1},
        "new": {"resources": {"CPU": 8, "GPU": 2}, "max_workers": 4, "priority": 2},
        "loaders": {"resources": {"CPU": 16, "ingest": 1}, "max_workers": 2},
    },
    "metadata": {
        "prices": {
            "currency": "EUR",
            "as_of": "2026-10",
            "per_hour": {"head": 0.5, "old": 2, "new": 6, "loaders": 1},
            "gpus": {
                "old": {"device": "a100", "speed": 0.5},
                "new": {"device": "a100", "speed": 2},
            },
        }
    },
}


def cluster(tmp_path: Path, **changes: Any) -> Cluster:
    file = tmp_path / "cluster.yaml"
    file.write_text(yaml.safe_dump(CONFIG | changes))
    return read_cluster(file)


def with_prices(**changes: Any) -> dict[str, Any]:
    return {"metadata": {"prices": CONFIG["metadata"]["prices"] | changes}}


def test_by_hand(tmp_path: Path) -> None:
    """Four equal runs of an hour each on one A100, one GPU each: two nodes of two GPUs hold all."""
    new, old = price(cluster(tmp_path), 4 * 3600, 16 * 3600, [0.25] * 4)
    assert (new.node, new.num_nodes, new.pretrain_s, new.adapt_s) == ("new", 2, 1800, 3600)
    assert new.wall_s == START_S + 1800 + 3600
    # Two nodes and the head all the time, one node of loaders while there is training.
    hours = new.wall_s / 3600
    assert new.amount == pytest.approx(2 * 6 * hours + 0.5 * hours + (START_S + 1800) / 3600)
    assert (old.node, old.pretrain_s) == ("old", 7200)


def test_workers_share_a_run(tmp_path: Path) -> None:
    alone, shared = (price(cluster(tmp_path), 3600, None, [1.0], n)[0] for n in (1, 4))
    assert (alone.num_nodes, shared.num_nodes) == (1, 2)
    assert shared.pretrain_s == alone.pretrain_s / 4
    assert shared.adapt_s is None


def test_more_workers_than_there_are(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"9 workers .* 'new' hold only 8; lower --workers"):
        price(cluster(tmp_path), 3600, None, [1.0], 9)


def test_one_long_run_is_what_all_wait_for(tmp_path: Path) -> None:
    (long, *_) = price(cluster(tmp_path), 3600, None, [0.9, 0.05, 0.05])
    assert long.pretrain_s == pytest.approx(0.9 * 3600 / 2)


@given(st.lists(st.floats(0.01, 100), min_size=1, max_size=20), st.integers(1, 8))
def test_a_makespan_is_within_its_bounds(lengths: list[float], slots: int) -> None:
    """Never below what is possible; over it by at most the job that ends last (Graham 1966)."""
    even, longest = sum(lengths) / slots, max(lengths)
    assert max(even, longest) * (1 - 1e-9) <= makespan(lengths, slots)
    assert makespan(lengths, slots) <= (even + longest) * (1 + 1e-9)
    assert makespan(lengths, 1) == pytest.approx(sum(lengths))


def test_shares_are_of_the_views_that_are_left(study: Study, store: Store) -> None:
    """Sizes of 64 and 128 for as many epochs, with noise and without."""
    found = sorted(shares(plan(study, store)))
    assert found == pytest.approx([1 / 6, 1 / 6, 1 / 3, 1 / 3])


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no prices": ({"metadata": {}}, "metadata.prices is missing"),
    "no price of a type": (
        with_prices(per_hour={"head": 1}),
        "metadata.prices.per_hour lacks 'loaders'",
    ),
    "a price of words": (
        with_prices(per_hour={"head": "cheap"}),
        "metadata.prices.per_hour.head: Input should be a valid number",
    ),
    "no speed of a GPU": (with_prices(gpus={}), "metadata.prices.gpus lacks 'new'"),
    "no speed at all": (
        with_prices(gpus={"old": {"device": "a100", "speed": 0}}),
        "metadata.prices.gpus.old.speed",
    ),
    "speeds that cannot be compared": (
        with_prices(
            gpus={"old": {"device": "v100", "speed": 1}, "new": {"device": "a100", "speed": 1}}
        ),
        "gpus speaks of a100, v100; types that stand in for each other",
    ),
    "nodes of nothing": (
        {"available_node_types": {"head": {}, "old": {"max_workers": 1}}},
        "no node type but the head can do any work",
    ),
    "a misspelt field": (with_prices(curency="EUR"), "metadata.prices.curency"),
    "no node types": ({"available_node_types": {}}, "no available_node_types"),
}


@pytest.mark.parametrize("mistake", WRONG)
def test_a_mistake_names_file_and_field(mistake: str, tmp_path: Path) -> None:
    changes, expected = WRONG[mistake]
    with pytest.raises(ValueError, match=r"cluster\.yaml: ") as caught:
        cluster(tmp_path, **changes)
    assert expected in str(caught.value)


def test_no_yaml(tmp_path: Path) -> None:
    file = tmp_path / "cluster.yaml"
    file.write_text("a: [1")
    with pytest.raises(ValueError, match="not YAML"):
        read_cluster(file)


def test_stand_ins_add_no_room() -> None:
    """Four of the new GPUs, one of the loaders: ``max_workers`` in all."""
    assert [alike[0].name for alike in preferred(node_types(CONFIG)).values()] == ["new", "loaders"]
    coming = to_come(CONFIG)
    assert sum(node.get("GPU", 0) for node in coming) == 8
    assert sum("ingest" in node for node in coming) == 1


def test_nodes_that_are_there_are_not_counted_again() -> None:
    gpu, loader = {"CPU": 8, "GPU": 2}, {"CPU": 16, "ingest": 1}
    alive = [{"CPU": 0, "memory": 1e9}, {"CPU": 8, "GPU": 2, "node:10.0.0.2": 1}]
    assert with_those_to_come(alive, [gpu, gpu, loader]) == [*alive, gpu, loader]
    assert with_those_to_come(alive, []) == alive
