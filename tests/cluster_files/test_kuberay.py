"""The manifests for Kubernetes, field by field.

What is Kubernetes's own is held against the models of its client. What is KubeRay's is held against
the names in its resource definitions: here for the fields around the pods, and in full where
``KUBERAY_CRDS`` names a folder with the published files (a megabyte each).
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from .launcher import ROOT

kubernetes = pytest.importorskip("kubernetes", reason="the client of Kubernetes is not installed")

CLUSTER, JOB = "clusters/kuberay/raycluster.yaml", "clusters/kuberay/rayjob.yaml"
PLAIN = {"ServiceAccount", "PersistentVolumeClaim", "Deployment", "Service"}
POD = "V1PodTemplateSpec"
KNOWN = {
    # ray.io/v1, KubeRay 1.4 to 1.6: fields, and those that must be there.
    "RayCluster": (
        "headGroupSpec workerGroupSpecs rayVersion enableInTreeAutoscaling autoscalerOptions",
        "headGroupSpec",
    ),
    "head": ("template rayStartParams serviceType headService", "template"),
    "worker": (
        "groupName replicas minReplicas maxReplicas idleTimeoutSeconds rayStartParams template",
        "groupName maxReplicas minReplicas template",
    ),
    "autoscaler": ("version idleTimeoutSeconds upscalingMode resources env image", ""),
    "RayJob": (
        "entrypoint clusterSelector submissionMode submitterConfig runtimeEnvYAML rayClusterSpec",
        "entrypoint",
    ),
}


def documents(file: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((ROOT / file).read_text()))


def of_kind(file: str, kind: str) -> dict[str, Any]:
    (found,) = (d for d in documents(file) if d["kind"] == kind)
    return found


def strange(value: Any, model: str, path: str = "") -> Iterator[str]:
    """Fields of ``value`` that the model of Kubernetes's client does not have."""
    if model.startswith("List["):
        for i, item in enumerate(value):
            yield from strange(item, model[5:-1], f"{path}[{i}]")
    elif model.startswith("Dict["):
        inner = model.partition(",")[2].strip(" ]")
        for name, item in value.items():
            yield from strange(item, inner, f"{path}.{name}")
    elif cls := getattr(kubernetes.client, model, None):
        names = {wire: own for own, wire in cls.attribute_map.items()}
        for name, item in value.items():
            if name not in names:
                yield f"{path}.{name}"
            else:
                yield from strange(item, cls.openapi_types[names[name]], f"{path}.{name}")


def built(value: Any, model: str) -> Any:
    """The client's object. Raises ValueError where a field is missing that must be there."""
    client = kubernetes.client.ApiClient()
    return client.deserialize(json.dumps(value), model, "application/json")


def check_fields(value: dict[str, Any], kind: str) -> None:
    known, needed = (set(names.split()) for names in KNOWN[kind])
    assert value.keys() <= known, f"{kind}: {value.keys() - known}"
    assert value.keys() >= needed, f"{kind}: {needed - value.keys()}"


def groups() -> list[dict[str, Any]]:
    spec = of_kind(CLUSTER, "RayCluster")["spec"]
    return [spec["headGroupSpec"], *spec["workerGroupSpecs"]]


def test_the_cluster_has_fields_that_kuberay_knows() -> None:
    spec = of_kind(CLUSTER, "RayCluster")["spec"]
    check_fields(spec, "RayCluster")
    check_fields(spec["headGroupSpec"], "head")
    check_fields(spec["autoscalerOptions"], "autoscaler")
    for group in spec["workerGroupSpecs"]:
        check_fields(group, "worker")
    for group in groups():
        assert all(isinstance(v, str) for v in group["rayStartParams"].values())


def test_the_job_has_fields_that_kuberay_knows() -> None:
    job = of_kind(JOB, "RayJob")
    check_fields(job["spec"], "RayJob")
    cluster = of_kind(CLUSTER, "RayCluster")["metadata"]["name"]
    assert job["spec"]["clusterSelector"] == {"ray.io/cluster": cluster}
    assert "backoffLimit" not in job["spec"], "which KubeRay refuses beside a clusterSelector"
    assert yaml.safe_load(job["spec"]["runtimeEnvYAML"])["env_vars"]


@pytest.mark.parametrize("number", range(3))
def test_pods_are_kubernetes_pods(number: int) -> None:
    template = groups()[number]["template"]
    assert list(strange(template, POD)) == []
    assert built(template, POD).spec.containers[0].image


def test_all_else_is_kubernetes_own() -> None:
    for document in documents(CLUSTER):
        if document["kind"] in PLAIN:
            assert list(strange(document, f"V1{document['kind']}")) == []
            built(document, f"V1{document['kind']}")


def test_a_misspelt_or_missing_field_is_found() -> None:
    template = groups()[0]["template"]
    container = template["spec"]["containers"][0]
    container["volumeMount"] = container.pop("volumeMounts")
    assert list(strange(template, POD)) == [".spec.containers[0].volumeMount"]
    del container["name"]
    with pytest.raises(ValueError, match="name"):
        built(template, POD)


def test_nothing_is_open_to_the_world() -> None:
    services = [d["spec"].get("type") for d in documents(CLUSTER) if d["kind"] == "Service"]
    services.append(of_kind(CLUSTER, "RayCluster")["spec"]["headGroupSpec"]["serviceType"])
    assert set(services) == {"ClusterIP"}
    kinds = {d["kind"] for d in documents(CLUSTER)}
    assert not kinds & {"Ingress", "Gateway", "HTTPRoute"}
    for group in groups():
        assert not group["template"]["spec"].get("hostNetwork")


def test_workers_come_and_go_and_the_head_does_no_work() -> None:
    head, *workers = groups()
    assert head["rayStartParams"]["num-cpus"] == "0"
    assert all(w["minReplicas"] == 0 < w["maxReplicas"] for w in workers)
    offer = workers[1]["rayStartParams"]["resources"]
    assert json.loads(json.loads(offer)) == {"ingest": 1}, "quoted as KubeRay wants it"


def test_the_driver_is_told_what_can_come(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same numbers as in the groups, which a driver cannot see."""
    from raystudy.cluster.reach import NODE_TYPES, cluster_config

    head, *workers = groups()
    env = {e["name"]: e["value"] for e in head["template"]["spec"]["containers"][0]["env"]}
    monkeypatch.setenv(NODE_TYPES, env[NODE_TYPES])
    said = cluster_config()
    assert said
    for worker in workers:
        limits = worker["template"]["spec"]["containers"][0]["resources"]["limits"]
        told = said["available_node_types"][worker["groupName"]]
        assert told["max_workers"] == worker["maxReplicas"]
        assert told["resources"]["CPU"] == int(limits["cpu"])
        assert told["resources"].get("GPU", 0) == int(limits.get("nvidia.com/gpu", 0))


@pytest.mark.skipif("KUBERAY_CRDS" not in os.environ, reason="KUBERAY_CRDS names no folder")
@pytest.mark.parametrize(("file", "kind"), [(CLUSTER, "RayCluster"), (JOB, "RayJob")])
def test_the_published_definition_takes_it(file: str, kind: str) -> None:
    from jsonschema.validators import validator_for

    path = Path(os.environ["KUBERAY_CRDS"]) / f"ray.io_{kind.lower()}s.yaml"
    definition = yaml.load(path.read_text(), getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    (version,) = (v for v in definition["spec"]["versions"] if v["name"] == "v1")
    schema = closed(version["schema"]["openAPIV3Schema"])
    validator = validator_for(schema)(schema)
    assert [error.message for error in validator.iter_errors(of_kind(file, kind))] == []


def closed(schema: dict[str, Any]) -> dict[str, Any]:
    """Kubernetes drops unknown fields without a word; here they are refused."""
    if schema.get("x-kubernetes-int-or-string"):
        return {"type": ["integer", "string"]}
    schema = {k: v for k, v in schema.items() if k != "format"}
    if properties := schema.get("properties"):
        schema["properties"] = {k: closed(v) for k, v in properties.items()}
        schema.setdefault("additionalProperties", False)
    if "items" in schema:
        schema["items"] = closed(schema["items"])
    if isinstance(schema.get("additionalProperties"), dict):
        schema["additionalProperties"] = closed(schema["additionalProperties"])
    return schema
