"""The manifests fit Kubernetes, oldest and newest, and one another: a name that refers, refers to something."""

import configparser
import fnmatch
import functools
import itertools
import json
import shutil
from typing import Any
from urllib.parse import urlsplit

import kubernetes_validate
import pytest
from ruamel.yaml import YAML

from pipeline.cluster import deploy, doctor
from pipeline.cluster import manifest as of_jobs
from pipeline.cluster.connection import NAMESPACE, SERVERS
from tests.k8s.conftest import ALL, COMMIT, IMAGES

VERSIONS = (".".join(map(str, doctor.OLDEST)), "1.37")
KUEUE = {"LocalQueue"}  # known to the schemas of Kueue only
CLUSTER_WIDE = {"Namespace", "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"}
YOURS = {  # Secrets, of components; docs/cluster.md
    "s3": {"mlflow-s3": {"access-key", "destination", "endpoint", "region", "secret-key"}},
    "external-mlflow": {"mlflow-external": {"uri", "username", "password"}},
}
ROLE = "app.kubernetes.io/component"


@pytest.mark.parametrize("version", VERSIONS)
def test_fits_the_schema(rendered, version):
    own = [manifest for manifest in rendered.manifests if manifest["kind"] not in KUEUE]
    assert len(own) >= 10
    for manifest in own:
        validate(json.dumps(manifest), version)


@functools.cache  # most manifests are the same in all overlays
def validate(manifest: str, version: str) -> None:
    assert kubernetes_validate.validate(json.loads(manifest), version, strict=True) == version


def test_the_schema_is_strict_and_all_is_in_the_two_namespaces(rendered):
    template = rendered.one("PodTemplate", "vsml-small")
    wrong = {**template, "template": {"spec": {**template["template"]["spec"], "restartpolicy": "Never"}}}
    with pytest.raises(kubernetes_validate.ValidationError, match="restartpolicy"):
        kubernetes_validate.validate(wrong, VERSIONS[1], strict=True)
    both = [NAMESPACE, SERVERS][: 1 if "external-mlflow" in rendered.components else 2]
    assert {m["metadata"].get("namespace") for m in rendered.manifests if m["kind"] not in CLUSTER_WIDE} == set(both)
    assert not any("namespace" in m["metadata"] for m in rendered.kind(*CLUSTER_WIDE))
    made = [] if "existing-namespace" in rendered.components else both
    assert [one["metadata"]["name"] for one in rendered.kind("Namespace")] == made


def test_where_stages_run_there_is_no_secret_and_no_volume_of_the_servers(rendered):
    ours = [one for one in rendered.manifests if one["metadata"].get("namespace") == NAMESPACE]
    there = {"mlflow-external"} if "external-mlflow" in rendered.components else {"mlflow-stage"}
    assert {reference["name"] for reference in deploy.found(ours, "secretKeyRef")} == there
    servers = {"ConfigMap", "CronJob", "Deployment", "Ingress", "Job", "PersistentVolumeClaim", "StatefulSet"}
    assert not servers & {one["kind"] for one in ours}


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl renders the manifests")
@pytest.mark.parametrize("servers", ["team-servers", "team", "vsml"])
def test_other_namespaces_take_all_of_it_and_may_be_one(servers, monkeypatch, tmp_path):
    monkeypatch.setattr(deploy, "NAMESPACE", "team")
    monkeypatch.setattr(deploy, "SERVERS", servers)
    manifests = deploy.render(tmp_path / "deployed", "cluster", ALL, IMAGES, COMMIT)
    assert {m["metadata"].get("namespace") for m in manifests} == {"team", servers, None}
    assert {m["metadata"]["name"] for m in manifests if m["kind"] == "Namespace"} == {"team", servers}
    named = [(m["kind"], m["metadata"].get("namespace"), m["metadata"]["name"]) for m in manifests]
    assert len(named) == len(set(named))
    (bound,) = [m for m in manifests if m["kind"] == "RoleBinding"]
    assert bound["subjects"] == [{"kind": "ServiceAccount", "name": "driver", "namespace": "team"}]
    whole = json.dumps(manifests)
    assert f"http://mlflow.{servers}.svc:5000" in whole and "vsml-servers" not in whole
    selected = {
        one["kubernetes.io/metadata.name"]
        for one in deploy.found(manifests, "matchLabels")
        if len(one) == 1 and "kubernetes.io/metadata.name" in one
    }
    assert selected == {"team", servers, "kube-system", "ingress-nginx"}


def test_templates_are_as_the_executor_expects_with_a_queue_and_a_gang_if_asked_for(rendered):
    queued, spread = ("queue" in rendered.components), ("distributed" in rendered.components)
    assert [template["metadata"]["name"] for template in rendered.kind("PodTemplate")] == sorted(of_jobs.TEMPLATES)
    for template in rendered.kind("PodTemplate"):
        about, spec = template["metadata"], template["template"]["spec"]
        assert about["annotations"][of_jobs.COMMIT] == rendered.commit
        (stage,) = spec["containers"]
        assert stage["name"] == "stage"
        env = {variable["name"]: variable.get("value", "") for variable in stage["env"]}
        assert all(env[name].startswith(stage["workingDir"]) for name in ("HOME", "TMPDIR", "MPLCONFIGDIR"))
        assert {"name": "work", "mountPath": stage["workingDir"]} in stage["volumeMounts"]
        assert about["labels"]["vsml/template"] == about["name"]
        assert about["labels"].get("kueue.x-k8s.io/queue-name") == ("vsml" if queued else None)
        assert spec.get("subdomain") == ("vsml-gang" if spread else None)
        assert of_jobs.pods_of("meta_train", template) == (2 if spread and about["name"] == "vsml-large" else 1)
    assert [queue["metadata"]["name"] for queue in rendered.kind("LocalQueue")] == ["vsml"] * queued


def test_the_example_of_a_queue_covers_all_that_templates_ask_for(rendered):
    example = deploy.K8S / "components/queue/clusterqueue.example.yaml"
    _, queue = YAML(typ="safe", pure=True).load_all(example)
    assert all(one["spec"]["clusterQueue"] == queue["metadata"]["name"] for one in rendered.kind("LocalQueue"))
    (group,) = queue["spec"]["resourceGroups"]
    assert group["coveredResources"] == [one["name"] for one in group["flavors"][0]["resources"]]
    asked = {name for one in deploy.found(rendered.kind("PodTemplate"), "resources") for name in one["limits"]}
    assert asked - set(group["coveredResources"]) == {"nvidia.com/mig-1g.10gb"} & asked


def test_jobs_of_gangs_fit_the_schema_and_find_their_coordinator(rendered):
    template = rendered.one("PodTemplate", "vsml-large")
    job = of_jobs.manifest(template, "meta_train", ("vsml", "0"), "ab" * 32, "run", "order")
    job["metadata"]["namespace"] = NAMESPACE
    for version in VERSIONS:
        validate(json.dumps(job), version)
    assert (job["spec"].get("completionMode") == "Indexed") == ("distributed" in rendered.components)
    assert ("successPolicy" in job["spec"]) == ("distributed" in rendered.components)
    if "distributed" in rendered.components:
        env = {entry["name"]: entry.get("value") for entry in job["spec"]["template"]["spec"]["containers"][0]["env"]}
        host, _, port = env["VSML_COORDINATOR"].partition(":")
        service = rendered.one("Service", host.partition(".")[2])
        assert host == f"{job['metadata']['name']}-0.{service['metadata']['name']}"
        assert [str(one["port"]) for one in service["spec"]["ports"]] == [port] == [str(of_jobs.PORT)]
        assert service["spec"]["clusterIP"] == "None" and service["spec"]["publishNotReadyAddresses"]


def test_the_driver_has_the_rights_that_it_needs_and_no_other(rendered):
    granted = {
        (group, resource): tuple(rule["verbs"])
        for rule in rendered.one("Role", "driver")["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }
    assert granted == doctor.RIGHTS
    assert not rendered.kind("ClusterRole", "ClusterRoleBinding")
    assert len(rendered.kind("Role")) == len(rendered.kind("RoleBinding")) == 1


def test_mlflow_answers_to_every_name_of_its_service_and_to_what_stages_call_it(served):
    rendered = served
    (server,) = rendered.pods()["Deployment mlflow"]["spec"]["containers"]
    env = {variable["name"]: variable.get("value", "") for variable in server["env"]}
    allowed = env["MLFLOW_SERVER_ALLOWED_HOSTS"].split(",")
    (port,) = rendered.one("Service", "mlflow")["spec"]["ports"]
    assert f"--port={port['port']}" in server["command"]
    for host in ("mlflow", "mlflow.vsml-servers.svc", "mlflow.team.svc.cluster.local", "localhost", "127.0.0.1"):
        assert any(fnmatch.fnmatch(host, pattern) for pattern in allowed)
        assert any(fnmatch.fnmatch(f"{host}:{port['port']}", pattern) for pattern in allowed)
    assert not any(fnmatch.fnmatch(name, pattern) for name in ("evil.example", "mlflow.evil") for pattern in allowed)
    hosts = [rule["host"] for one in rendered.kind("Ingress") for rule in one["spec"]["rules"]]
    assert set(hosts) <= set(allowed) and "HOST" not in allowed
    assert hosts == [host for one in rendered.kind("Ingress") for tls in one["spec"]["tls"] for host in tls["hosts"]]
    for name in of_jobs.TEMPLATES:
        (stage,) = rendered.pods()[f"PodTemplate {name}"]["spec"]["containers"]
        (uri,) = [variable["value"] for variable in stage["env"] if variable["name"] == "MLFLOW_TRACKING_URI"]
        assert any(fnmatch.fnmatch(urlsplit(uri).netloc, pattern) for pattern in allowed)


def test_all_three_that_open_the_database_open_the_same(served):
    rendered = served
    parsed = configparser.ConfigParser()
    (config,) = [one for one in rendered.kind("ConfigMap") if "auth.ini" in one["data"]]
    parsed.read_string(config["data"]["auth.ini"])
    migrate, server = (rendered.pods()[name]["spec"] for name in ("Job mlflow-migrate", "Deployment mlflow"))
    stores = {
        variable["value"]
        for container in (*migrate["containers"], *server["initContainers"], *server["containers"])
        for variable in container["env"]
        if variable["name"] == "MLFLOW_BACKEND_STORE_URI"
    }
    assert stores == {parsed["mlflow"]["database_uri"]}
    (store,) = stores
    service = rendered.one("Service", "postgres")
    assert (urlsplit(store).hostname, urlsplit(store).port) == ("postgres", service["spec"]["ports"][0]["port"])
    assert not urlsplit(store).password


def test_every_secret_and_volume_comes_from_somewhere(rendered):
    given = {name: set(keys) for name, keys in deploy.SECRETS.items()}
    for name in YOURS.keys() & set(rendered.components):
        given |= YOURS[name]
    for reference in deploy.found(rendered.manifests, "secretKeyRef"):
        assert reference["key"] in given[reference["name"]]
    configs = {one["metadata"]["name"] for one in rendered.kind("ConfigMap")}
    claims = {one["metadata"]["name"] for one in rendered.kind("PersistentVolumeClaim")}
    for pod in rendered.pods().values():
        volumes = pod["spec"].get("volumes", [])
        assert {volume["configMap"]["name"] for volume in volumes if "configMap" in volume} <= configs
        assert {v["persistentVolumeClaim"]["claimName"] for v in volumes if "persistentVolumeClaim" in v} <= claims
    kept = {"mlflow-artifacts"} if not {"s3", "external-mlflow"} & set(rendered.components) else set()
    assert claims == kept | ({"mlflow-backup"} if "backup" in rendered.components else set())


def test_services_find_their_pods_and_policies_name_labels_that_pods_have(rendered):
    labels = [pod["metadata"]["labels"] for pod in rendered.pods().values()]
    for service in rendered.kind("Service"):
        assert any(service["spec"]["selector"].items() <= of_pod.items() for of_pod in labels)
    for made in rendered.kind("Deployment", "StatefulSet"):
        assert made["spec"]["selector"]["matchLabels"].items() <= made["spec"]["template"]["metadata"]["labels"].items()
    roles = {of_pod[ROLE] for of_pod in labels} | {"driver", "mlflow", "backup"}
    for policy in rendered.kind("NetworkPolicy"):
        for selector in deploy.found(policy, "podSelector"):
            of_role = selector.get("matchLabels", {}).get(ROLE)
            named = [value for one in selector.get("matchExpressions", []) for value in one["values"]]
            assert set(filter(None, [of_role, *named])) <= roles


def test_the_network_carries_what_is_needed_and_nothing_else(rendered):
    roles = ("mlflow", "migrate", "postgres", "stage", "driver", "backup", "stranger", "stranger of the servers")
    ports = (5000, 5432, 443, 8476)
    open_ways = {way for way in itertools.product(roles, roles, ports) if _open(rendered, *way)}
    needed = {("stage", "mlflow", 5000), ("driver", "mlflow", 5000)}
    needed |= {("mlflow", "postgres", 5432), ("migrate", "postgres", 5432)}
    needed |= {("backup", "postgres", 5432)} if "backup" in rendered.components else set()
    needed = set() if "external-mlflow" in rendered.components else needed
    if "distributed" in rendered.components:
        needed |= {("stage", "stage", port) for port in ports}
    assert open_ways == needed
    outside = {role for role in roles if _leads(rendered, role, "egress", None, 443)}
    by = {"s3": {"mlflow"}, "external-mlflow": {"stage"}}
    assert outside == {"driver"}.union(*(by.get(name, set()) for name in rendered.components))
    let_in = any(_leads(rendered, "mlflow", "ingress", None, 5000) for _ in rendered.kind("Ingress"))
    assert not let_in, "the Ingress controller alone is let in, by its namespace"


def _open(rendered, source: str, target: str, port: int) -> bool:
    return _leads(rendered, source, "egress", target, port) and _leads(rendered, target, "ingress", source, port)


def _leads(rendered, role: str, direction: str, other: str | None, port: int) -> bool:
    """Whether the policies of a pod let it be reached by another, or reach it (or, if `other` is None, the world)."""
    own = [one for one in rendered.kind("NetworkPolicy") if one["metadata"]["namespace"] == _home(role)]
    specs = [policy["spec"] for policy in own]
    chosen = [one for one in specs if direction.title() in one["policyTypes"] and _selects(one["podSelector"], role)]
    assert chosen or "external-mlflow" in rendered.components, "no policy chooses this pod, so that everything is open"
    peers = "to" if direction == "egress" else "from"
    home, rules = _home(role), (rule for spec in chosen for rule in spec.get(direction, []))
    return any(_peer(rule.get(peers), other, home) and _port(rule, port) for rule in rules)


def _home(role: str) -> str:
    return NAMESPACE if role in ("stage", "driver", "stranger") else SERVERS


def _peer(peers: list[dict[str, Any]] | None, role: str | None, home: str) -> bool:
    if peers is None:  # everybody
        return True
    if role is None:
        return False
    here = {"matchLabels": {"kubernetes.io/metadata.name": home}}  # without a selector
    spaces = [peer.get("namespaceSelector", here)["matchLabels"]["kubernetes.io/metadata.name"] for peer in peers]
    pods = [peer["podSelector"] for peer, space in zip(peers, spaces, strict=True) if space == _home(role)]
    return any(_selects(selector, role) for selector in pods)


def _port(rule: dict[str, Any], port: int) -> bool:
    return "ports" not in rule or any(one["port"] == port for one in rule["ports"])


def _selects(selector: dict[str, Any], role: str) -> bool:
    labels = selector.get("matchLabels", {})
    values = [one["values"] for one in selector.get("matchExpressions", []) if one["operator"] == "In"]
    return labels in ({}, {ROLE: role}) and all(role in choice for choice in values)
