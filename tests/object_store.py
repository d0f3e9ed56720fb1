"""An S3-compatible store of one's own: moto's server, and credentials that must not be seen."""

import logging
import secrets
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

SECRET = secrets.token_hex(20)
"""Another in each run: this file travels with a job, and must not hold it."""
BUCKET = "studies"


@contextmanager
def object_store() -> Iterator[dict[str, str]]:
    """The environment that opens it; ``s3://BUCKET`` is there."""
    pytest.importorskip("moto", reason="the stand-in for S3 is not installed")
    pytest.importorskip("s3fs", reason="s3fs is not installed")
    import boto3
    import s3fs
    from moto.s3.models import s3_backends
    from moto.server import ThreadedMotoServer

    # A line for each request would bury the reason why a test fails.
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    s3_backends.reset()  # of another server that ran in this process
    host, port = server.get_host_and_port()
    environment = {
        "AWS_ACCESS_KEY_ID": "AKIARAYSTUDYTEST",
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    boto3.client(
        "s3",
        endpoint_url=environment["AWS_ENDPOINT_URL"],
        region_name="us-east-1",
        aws_access_key_id="AKIARAYSTUDYTEST",
        aws_secret_access_key=SECRET,
    ).create_bucket(Bucket=BUCKET)
    s3fs.S3FileSystem.clear_instance_cache()  # of one that knows another server
    try:
        yield environment
    finally:
        s3fs.S3FileSystem.clear_instance_cache()
        server.stop()
