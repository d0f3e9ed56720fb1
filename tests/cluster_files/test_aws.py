"""cluster.yaml against an AWS that is made up: machines, their firewall and their identities."""

import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from .launcher import ROOT, load, prepared

moto = pytest.importorskip("moto", reason="the stand-in for AWS is not installed")
HOME = "203.0.113.7/32"
"""Where the user sits; of the addresses that are for examples."""


def aws_once() -> Any:
    spec = importlib.util.spec_from_file_location("aws_once", ROOT / "clusters/aws_once.py")
    assert spec
    assert spec.loader
    module: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    # The stand-in knows the images of Amazon Linux alone.
    module.IMAGE = "/aws/service/ami-amazon-linux-latest/amzn2-ami-hvm-x86_64-gp2"
    return module


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    import boto3
    from ray.autoscaler._private.aws import config, utils

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-west-2")
    monkeypatch.setenv("HOME", str(tmp_path))  # Ray writes the key of its nodes there
    for cache in (utils.client_cache, utils.resource_cache, config._get_subnets_or_die):
        cache.cache_clear()
    with moto.mock_aws():
        yield boto3.Session(region_name="us-west-2")


def filled_in(session: Any) -> dict[str, Any]:
    once = aws_once()
    once.make_bucket(session, "mine")
    once.make_identities(session, "mine")
    values = {
        "region": "us-west-2",
        "image": once.newest_image(session),
        "firewall": f"[{once.make_firewall(session, HOME)}]",
    }
    return yaml.safe_load(once.fill_in((ROOT / "cluster.yaml").read_text(), values, "mine"))


def launched(config: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """One node of each type, as ``ray up`` and the autoscaler ask for them."""
    from ray.autoscaler._private.aws.node_provider import AWSNodeProvider

    config = prepared(config)
    config = AWSNodeProvider.bootstrap_config(config)
    provider = AWSNodeProvider(config["provider"], config["cluster_name"])
    found = {}
    for name, described in config["available_node_types"].items():
        kind = "head" if name == config["head_node_type"] else "worker"
        tags = {"ray-node-type": kind, "ray-user-node-type": name, "ray-launch-config": "x"}
        (node,) = provider.create_node(described["node_config"], tags, 1).values()
        found[name] = node
    return config, found


def open_rules(session: Any, nodes: Any) -> list[str]:
    """Rules of the nodes' firewalls that let the world in."""
    ids = {group["GroupId"] for node in nodes for group in node.security_groups}
    groups = session.client("ec2").describe_security_groups(GroupIds=sorted(ids))
    return [
        f"{rule.get('FromPort')}: {network}"
        for group in groups["SecurityGroups"]
        for rule in group["IpPermissions"]
        for network in (
            *(r["CidrIp"] for r in rule.get("IpRanges", [])),
            *(r["CidrIpv6"] for r in rule.get("Ipv6Ranges", [])),
        )
        if network.endswith("/0")
    ]


def test_nodes_are_as_intended(session: Any) -> None:
    config, nodes = launched(filled_in(session))
    client = session.client("ec2")
    (image,) = {node.image_id for node in nodes.values()}
    assert image == aws_once().newest_image(session)
    for name, node in nodes.items():
        (described,) = client.describe_instances(InstanceIds=[node.id])["Reservations"]
        (instance,) = described["Instances"]
        is_spot = instance.get("InstanceLifecycle") == "spot"
        assert is_spot == (name != "head"), f"{name}: spot, unless it is the head"
        profile = instance["IamInstanceProfile"]["Arn"].rpartition("/")[2]
        assert profile == ("raystudy-head" if name == "head" else "raystudy-worker")
        assert instance["MetadataOptions"]["HttpTokens"] == "required"
        expected = config["available_node_types"][name]["node_config"]["InstanceType"]
        assert instance["InstanceType"] == expected


def test_resources_are_what_the_machines_have(
    session: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The numbers in the file, by which a plan goes, against those of AWS's instance types."""
    from ray.autoscaler._private.aws import node_provider
    from ray.autoscaler._private.aws.node_provider import AWSNodeProvider

    config = filled_in(session)
    types = {t["node_config"]["InstanceType"] for t in config["available_node_types"].values()}
    client = session.client("ec2")  # all of AWS's hundreds of types would take a minute
    machines = client.describe_instance_types(InstanceTypes=sorted(types))["InstanceTypes"]
    monkeypatch.setattr(node_provider, "list_ec2_instances", lambda *_: machines)
    bare = yaml.safe_load(yaml.safe_dump(config))
    for described in bare["available_node_types"].values():
        described["resources"] = {}
    known = AWSNodeProvider.fillout_available_node_types_resources(bare)
    for name, described in config["available_node_types"].items():
        if name != config["head_node_type"]:
            has = known["available_node_types"][name]["resources"]
            for resource in ("CPU", "GPU"):
                assert described["resources"].get(resource, 0) == has.get(resource, 0), name


def test_no_rule_is_open_to_the_world(session: Any) -> None:
    _, nodes = launched(filled_in(session))
    assert open_rules(session, nodes.values()) == []
    (group,) = {g["GroupId"] for node in nodes.values() for g in node.security_groups}
    rules = session.client("ec2").describe_security_groups(GroupIds=[group])["SecurityGroups"][0]
    inside, ssh = sorted(rules["IpPermissions"], key=lambda r: r["IpProtocol"])
    assert [pair["GroupId"] for pair in inside["UserIdGroupPairs"]] == [group]
    assert not inside["IpRanges"]
    assert (ssh["FromPort"], ssh["ToPort"]) == (22, 22)
    assert [r["CidrIp"] for r in ssh["IpRanges"]] == [HOME]


def test_rays_own_firewall_would_be_found_open(session: Any) -> None:
    """Why the file names a firewall: without it Ray opens SSH to everyone."""
    config = filled_in(session)
    for described in config["available_node_types"].values():
        del described["node_config"]["SecurityGroupIds"]
    _, nodes = launched(config)
    assert open_rules(session, nodes.values()) == ["22: 0.0.0.0/0"]


def test_a_file_that_is_not_filled_in_starts_nothing(
    session: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(Exception):  # noqa: B017, PT011 (Ray says what it is on stderr alone)
        launched(load("cluster.yaml"))
    assert "Failed to detect a security group" in capfd.readouterr().err
    assert not session.client("ec2").describe_instances()["Reservations"]


def test_made_once_and_left_alone_after(session: Any) -> None:
    assert filled_in(session) == filled_in(session)


def test_again_from_another_place(session: Any) -> None:
    once = aws_once()
    group = once.make_firewall(session, HOME)
    assert once.make_firewall(session, "198.51.100.9/32") == group
    (found,) = session.client("ec2").describe_security_groups(GroupIds=[group])["SecurityGroups"]
    ssh = [r for r in found["IpPermissions"] if r.get("FromPort") == 22]
    assert {n["CidrIp"] for r in ssh for n in r["IpRanges"]} == {HOME, "198.51.100.9/32"}


def test_the_world_is_no_network_of_ones_own(session: Any) -> None:
    with pytest.raises(SystemExit, match="the whole world"):
        aws_once().make_firewall(session, "0.0.0.0/0")


def test_a_bucket_of_somebody_else_is_not_used(
    session: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from botocore.exceptions import ClientError

    once, s3 = aws_once(), session.client("s3")
    denied = ClientError({"Error": {"Code": "403"}}, "HeadBucket")
    monkeypatch.setattr(s3, "head_bucket", lambda **_: (_ for _ in ()).throw(denied))
    monkeypatch.setattr(session, "client", lambda _: s3)
    with pytest.raises(SystemExit, match="belongs to somebody else"):
        once.make_bucket(session, "mine")


def test_identities_open_the_bucket_and_no_more(session: Any) -> None:
    filled_in(session)
    iam = session.client("iam")

    def allowed(role: str) -> list[tuple[str, Any]]:
        found = iam.get_role_policy(RoleName=role, PolicyName="raystudy")["PolicyDocument"]
        document = found if isinstance(found, dict) else json.loads(found)
        return [(a, s["Resource"]) for s in document["Statement"] for a in _listed(s["Action"])]

    bucket = ["arn:aws:s3:::mine", "arn:aws:s3:::mine/*"]
    worker = allowed("raystudy-worker")
    assert worker
    assert all(a.startswith("s3:") and on == bucket for a, on in worker)
    head = {a: on for a, on in allowed("raystudy-head") if not a.startswith("s3:")}
    assert head.pop("iam:PassRole").endswith(":role/raystudy-worker")
    assert all(a.startswith("ec2:") for a in head)
    assert "ec2:*" not in head


def _listed(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value
