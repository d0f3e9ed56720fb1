"""What a cluster on AWS needs once: a bucket, a firewall, two identities and the id of an image.

``python clusters/aws_once.py --bucket NAME`` makes what is missing, changes nothing that is there,
and fills in the lines of ``cluster.yaml`` that are yours. It needs the right to make these things
(your own credentials, as for the AWS command line); the cluster itself gets much less.
"""

import argparse
import ipaddress
import json
import re
import urllib.request
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import ClientError

NAME = "raystudy"
IMAGE = "/aws/service/deeplearning/ami/x86_64/base-oss-nvidia-driver-gpu-ubuntu-24.04/latest/ami-id"
"""Where AWS publishes the newest Deep Learning Base AMI of each region."""
SPOT = "spot.amazonaws.com"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bucket", required=True, help="of all results; made if it is not there")
    parser.add_argument("--region", default="us-west-2")
    parser.add_argument("--ssh-from", help="network that may use SSH; default: your own address")
    parser.add_argument("--vpc", help="default: the region's default VPC")
    parser.add_argument("--file", type=Path, default=Path("cluster.yaml"))
    given = parser.parse_args()
    network = given.ssh_from or f"{own_address()}/32"
    session = boto3.Session(region_name=given.region)
    make_bucket(session, given.bucket)
    make_identities(session, given.bucket)
    values = {
        "region": given.region,
        "image": newest_image(session),
        "firewall": f"[{make_firewall(session, network, given.vpc)}]",
    }
    given.file.write_text(fill_in(given.file.read_text(), values, given.bucket))
    print(f"{given.file}: {', '.join(f'{k} {v}' for k, v in values.items())}; SSH from {network}")


def make_bucket(session: Any, name: str) -> None:
    """Private and encrypted; left as it is if it is there."""
    s3 = session.client("s3")
    try:
        s3.head_bucket(Bucket=name)
        return
    except ClientError as error:
        if error.response["Error"]["Code"] not in ("404", "NoSuchBucket"):
            raise SystemExit(
                f"bucket {name} belongs to somebody else, or is closed to you; choose another name"
            ) from error
    place = {"LocationConstraint": session.region_name}
    # The first of all regions is the only one that may not be named.
    more = {} if session.region_name == "us-east-1" else {"CreateBucketConfiguration": place}
    s3.create_bucket(Bucket=name, **more)
    s3.put_public_access_block(
        Bucket=name,
        PublicAccessBlockConfiguration=dict.fromkeys(
            ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"),
            True,
        ),
    )


def make_firewall(session: Any, ssh_from: str, vpc: str | None = None) -> str:
    """The id of a security group: everything within the cluster, SSH from this network, too. Raises
    SystemExit for a network that is the whole world."""
    network = ipaddress.ip_network(ssh_from)
    if network.prefixlen == 0:
        raise SystemExit(f"--ssh-from {ssh_from} is the whole world; give your own network")
    ec2 = session.client("ec2")
    vpc = vpc or _default_vpc(ec2)
    filters = [{"Name": "group-name", "Values": [NAME]}, {"Name": "vpc-id", "Values": [vpc]}]
    # Again from elsewhere: where one sits now is let in, too.
    if found := ec2.describe_security_groups(Filters=filters)["SecurityGroups"]:
        group = found[0]["GroupId"]
    else:
        about = "raystudy: the cluster itself, and SSH from its user"
        group = ec2.create_security_group(GroupName=NAME, VpcId=vpc, Description=about)["GroupId"]
    ranges = (
        {"Ipv6Ranges": [{"CidrIpv6": str(network)}]}
        if network.version == 6
        else {"IpRanges": [{"CidrIp": str(network)}]}
    )
    for rule in (
        {"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": group}]},
        {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, **ranges},
    ):
        _unless_there(ec2.authorize_security_group_ingress, GroupId=group, IpPermissions=[rule])
    return group


def make_identities(session: Any, bucket: str) -> None:
    """Instance profiles ``raystudy-head`` and ``raystudy-worker``: both open the bucket, the head
    may also start and end nodes that have the worker's identity."""
    iam = session.client("iam")
    _unless_there(iam.create_service_linked_role, AWSServiceName=SPOT)
    worker = _make_role(iam, f"{NAME}-worker", [_bucket_policy(bucket)])
    _make_role(iam, f"{NAME}-head", [_bucket_policy(bucket), *_node_policy(worker)])


def newest_image(session: Any) -> str:
    return session.client("ssm").get_parameter(Name=IMAGE)["Parameter"]["Value"]


def fill_in(text: str, values: dict[str, str], bucket: str) -> str:
    """``text`` with the values of ``&name`` and the bucket of its addresses replaced."""
    for name, value in values.items():
        text, found = re.subn(rf"(: &{name} )\S.*", rf"\g<1>{value}", text)
        if not found:
            raise SystemExit(f"the file has no line '{name}: &{name} …'; take a fresh cluster.yaml")
    return re.sub(r"(=s3://)[^/\s]+", rf"\g<1>{bucket}", text)


def own_address() -> str:
    """Under which AWS sees this machine."""
    with urllib.request.urlopen("https://checkip.amazonaws.com", timeout=10) as answer:
        return str(ipaddress.ip_address(answer.read().decode().strip()))


def _bucket_policy(bucket: str) -> dict[str, Any]:
    arn = f"arn:aws:s3:::{bucket}"
    actions = ["GetObject", "PutObject", "DeleteObject", "AbortMultipartUpload", "ListBucket"]
    actions += ["GetBucketLocation", "ListBucketMultipartUploads", "ListMultipartUploadParts"]
    return {
        "Effect": "Allow",
        "Action": [f"s3:{action}" for action in actions],
        "Resource": [arn, f"{arn}/*"],
    }


def _node_policy(worker_role: str) -> Iterable[dict[str, Any]]:
    nodes = ["RunInstances", "TerminateInstances", "StopInstances", "StartInstances", "CreateTags"]
    yield {
        "Effect": "Allow",
        "Action": ["ec2:Describe*", *(f"ec2:{action}" for action in nodes)],
        "Resource": "*",
    }
    yield {"Effect": "Allow", "Action": "iam:PassRole", "Resource": worker_role}


def _make_role(iam: Any, name: str, statements: list[dict[str, Any]]) -> str:
    """An instance profile and its role of the same name; returns the role's ARN."""
    trust = {
        "Effect": "Allow",
        "Principal": {"Service": "ec2.amazonaws.com"},
        "Action": "sts:AssumeRole",
    }
    _unless_there(iam.create_role, RoleName=name, AssumeRolePolicyDocument=_document([trust]))
    iam.put_role_policy(RoleName=name, PolicyName=NAME, PolicyDocument=_document(statements))
    _unless_there(iam.create_instance_profile, InstanceProfileName=name)
    _unless_there(iam.add_role_to_instance_profile, InstanceProfileName=name, RoleName=name)
    return iam.get_role(RoleName=name)["Role"]["Arn"]


def _document(statements: list[dict[str, Any]]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


def _unless_there(make: Any, **arguments: Any) -> None:
    try:
        make(**arguments)
    except ClientError as error:
        # A service-linked role that is there is an invalid input, a full profile a limit.
        if error.response["Error"]["Code"] not in (
            "EntityAlreadyExists",
            "InvalidPermission.Duplicate",
            "InvalidInput",
            "LimitExceeded",
        ):
            raise


def _default_vpc(ec2: Any) -> str:
    found = ec2.describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"]
    if not found:
        raise SystemExit("this region has no default VPC; name one with --vpc")
    return found[0]["VpcId"]


if __name__ == "__main__":
    main()
