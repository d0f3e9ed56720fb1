"""Every cluster's file is what Ray takes, pinned as the project is, and closed to the world."""

import re
import subprocess
from pathlib import Path

import pytest

from .launcher import ROOT, commands, load, prepared

LAUNCHED = ["cluster.yaml", "clusters/gcp.yaml", "clusters/on-premises.yaml"]
PINNED = dict(
    line.split("==") for line in (ROOT / "constraints.txt").read_text().split() if "==" in line
)


@pytest.mark.parametrize("file", LAUNCHED)
def test_ray_takes_it(file: str) -> None:
    config = prepared(load(file))
    assert config["head_node_type"] in config["available_node_types"]


@pytest.mark.parametrize("file", LAUNCHED)
def test_a_misspelt_field_is_refused(file: str) -> None:
    """What the test above would not pass."""
    with pytest.raises(Exception, match="idle_timout_minutes"):
        prepared(load(file) | {"idle_timout_minutes": 5})


@pytest.mark.parametrize("file", ["cluster.yaml", "clusters/gcp.yaml"])
def test_workers_come_and_go_and_the_head_does_no_work(file: str) -> None:
    config = load(file)
    types = config["available_node_types"]
    assert types[config["head_node_type"]]["resources"] == {"CPU": 0}
    workers = {n: t for n, t in types.items() if n != config["head_node_type"]}
    assert all(t["min_workers"] == 0 < t["max_workers"] for t in workers.values())
    assert 0 < config["idle_timeout_minutes"] <= 30
    assert any("ingest" in t["resources"] for t in workers.values())


@pytest.mark.parametrize("file", ["cluster.yaml", "clusters/gcp.yaml"])
def test_what_stands_in_offers_the_same(file: str) -> None:
    """Ray goes by priority only among types that fit a demand equally well."""
    from raystudy.nodes import node_types, preferred

    for alike in preferred(node_types(load(file))).values():
        assert len({tuple(sorted(t.resources.items())) for t in alike}) == 1
        assert len({t.priority for t in alike}) == len(alike)


@pytest.mark.parametrize("file", LAUNCHED)
def test_nodes_install_what_is_pinned(file: str) -> None:
    """The project with its constraints, in a Python that the image fixes; nothing by chance."""
    installs = [c for c in commands(load(file)) if "pip install" in c]
    assert installs
    assert all("-c ~/raystudy-setup/constraints.txt" in c for c in installs)
    assert any("python3.12 -m venv" in c for c in commands(load(file)))


@pytest.mark.parametrize("file", LAUNCHED)
def test_mounted_files_exist(file: str) -> None:
    for local in load(file)["file_mounts"].values():
        assert local.startswith("~") or (ROOT / local).exists(), local


@pytest.mark.parametrize("file", LAUNCHED)
def test_the_dashboard_listens_on_the_head_alone(file: str) -> None:
    (start,) = [c for c in load(file)["head_start_ray_commands"] if "--head" in c]
    assert "--dashboard-host=127.0.0.1" in start
    assert "--autoscaling-config=~/ray_bootstrap_config.yaml" in start


@pytest.mark.parametrize("file", LAUNCHED)
def test_commands_are_shell(file: str) -> None:
    for command in commands(load(file)):
        checked = subprocess.run(["bash", "-n", "-c", command], capture_output=True, text=True)
        assert checked.returncode == 0, f"{command}: {checked.stderr}"


@pytest.mark.parametrize("file", LAUNCHED)
def test_the_nodes_environment_is_written_as_meant(file: str, tmp_path: Path) -> None:
    """Run twice, as on a node that ``ray up`` meets again: no line is doubled."""
    config = load(file)
    writes = [c for c in config["setup_commands"] if "raystudy.env" in c]
    for command in writes * 2:
        subprocess.run(["bash", "-c", command], env={"HOME": str(tmp_path)}, check=True)
    lines = (tmp_path / "raystudy.env").read_text().splitlines()
    assert {line.split("=")[0] for line in lines} >= {
        "RAYSTUDY_STORE",
        "MLFLOW_ARTIFACTS",
        "RAY_AUTH_MODE",
        "RAY_ROTATION_MAX_BYTES",
    }
    assert len(lines) == len(set(lines))


FILES = [*LAUNCHED, "clusters/slurm.sh", "clusters/mlflow.service", "clusters/aws_once.py"]
FILES += ["clusters/kuberay/raycluster.yaml", "clusters/kuberay/rayjob.yaml"]
SECRETS = re.compile(
    r"AKIA[0-9A-Z]{16}|aws_secret|secret_access_key\s*[:=]|password\s*[:=]|BEGIN [A-Z ]*PRIVATE KEY"
    r"|//[^/\s:@]+:[^/\s@]+@",
    re.IGNORECASE,
)


@pytest.mark.parametrize("file", FILES)
def test_no_credentials(file: str) -> None:
    assert not SECRETS.search((ROOT / file).read_text())


@pytest.mark.parametrize("secret", ["AKIAABCDEFGHIJKLMNOP", "postgresql://me:word@host/db"])
def test_credentials_would_be_found(secret: str) -> None:
    assert SECRETS.search(secret)


def test_the_databases_driver_is_the_one_that_is_installed() -> None:
    """SQLAlchemy 2.1 means another one than 2.0 by an address that names none."""
    import sqlalchemy

    (uri,) = re.findall(r'"(postgresql.*?)"', (ROOT / "clusters/mlflow.service").read_text())
    driver = sqlalchemy.make_url(uri).get_driver_name()
    assert f"{driver}-binary" in PINNED
    assert f'server = ["{driver}-binary' in (ROOT / "pyproject.toml").read_text()


def test_images_hold_the_pinned_ray() -> None:
    image = (ROOT / "clusters/kuberay/Dockerfile").read_text()
    assert f"FROM rayproject/ray:{PINNED['ray']}-py312-gpu" in image
    assert "-c constraints.txt" in image
    cluster = (ROOT / "clusters/kuberay/raycluster.yaml").read_text()
    assert f'rayVersion: "{PINNED["ray"]}"' in cluster


def test_prices_are_of_these_nodes() -> None:
    from raystudy.price import read_cluster

    cluster = read_cluster(ROOT / "cluster.yaml")
    assert cluster.device == "a100"
    assert [t.name for t in cluster.candidates] == ["gpu-l40s", "gpu-a10g", "gpu-l4"]
