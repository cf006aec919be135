"""Logs over a bad connection, from an API that fails in every scripted way; the pods are real processes."""

import contextlib
import json
import threading
import time

import pytest

from pipeline.__main__ import main
from pipeline.cluster.connection import Api, ClusterError
from pipeline.cluster.following import NUMBER, Follower, Reader, Stuck
from pipeline.cluster.manifest import manifest
from pipeline.track.patience import Away

SCRIPT = "for i in $(seq 1 30); do echo line $i; sleep 0.03; done; printf 'the end, without a newline'"
SAID = [*(f"line {i}" for i in range(1, 31)), "the end, without a newline"]


@pytest.fixture
def api(cluster):
    cluster.template("vsml-small", {"PATH": "/usr/bin:/bin"})
    return Api(patience_s=20)


def _followed(api, job, say=None):
    """How a new Job ends."""
    assert api.create(job)
    return Follower(api, say).follow(job["metadata"]["name"])


def _job(api, script, fingerprint="f" * 64):
    made = manifest(api.template("vsml-small"), "test_data", ("iris",), fingerprint, "run", "order")
    made["spec"]["template"]["spec"]["containers"][0] |= {"command": ["sh", "-c"], "args": [script]}
    return made


def test_a_log_that_is_cut_torn_and_silent_comes_whole_from_an_api_that_is_away_for_a_while(api, cluster, monkeypatch):
    """Cut in the middle of a line, reset before an answer, silent: at each new connection whole seconds come again."""
    monkeypatch.setattr("pipeline.cluster.following.QUIET_S", 0.3)
    for after in (45, 200, 333):
        cluster.fail(r"/log\?", "cut", after)
    for how in (500, "reset", 410):
        cluster.fail(r"/log\?", how)
    cluster.fail(r"/log\?", "silent", 150)
    cluster.fail(r"GET .*/jobs/", 429)
    cluster.fail(r"GET .*/pods\?", "reset")
    said = []

    def say(line):
        said.append(line)
        if line == "line 25":
            cluster.down = True
            threading.Timer(0.7, lambda: setattr(cluster, "down", False)).start()

    assert _followed(api, _job(api, SCRIPT), say) == "Complete"
    assert said == SAID
    assert not cluster.faults


def test_a_lost_pod_has_a_successor_and_the_log_says_so_but_some_exit_codes_are_final(api, cluster, tmp_path):
    once, said = f"{tmp_path}/once", []
    lost = _job(api, f"if [ -e {once} ]; then echo second; else touch {once}; echo first; exit 137; fi")
    assert _followed(api, lost, said.append) == "Complete"
    first, ended, second = said
    assert (first, second) == ("first", "second")
    assert "exit code 137, killed: out of memory" in ended
    final, again = _job(api, "exit 78", "b" * 64), _job(api, "exit 1", "a" * 64)
    again["spec"]["backoffLimit"] = 2
    for job, pods, why in ((final, 1, "PodFailurePolicy"), (again, 3, "BackoffLimitExceeded")):
        assert str(_followed(api, job)).startswith(why)
        assert len(cluster.pods_of(job["metadata"]["name"])) == pods


def test_who_follows_a_job_sees_its_end_in_the_exit_status(api, capsys):
    for script, status in (("true", 0), ("exit 78", 1)):
        api.create(job := _job(api, script, fingerprint=str(status) * 64))
        with pytest.raises(SystemExit) if status else contextlib.nullcontext() as stop:
            main(["jobs", "follow", job["metadata"]["name"]])
        assert stop is None or stop.value.code == 1
    assert "Complete" in (said := capsys.readouterr().out) and "PodFailurePolicy" in said


def test_what_fails_in_passing_is_tried_again_and_what_is_refused_is_not(api, cluster):
    cluster.fail("POST", "lost")
    assert not api.create(_job(api, "exit 0")) and cluster.created == 1, "a create whose answer is lost has created"
    for how in (429, 500, 503, "reset"):
        cluster.fail("GET .*/jobs/", how)
    assert api.job("none") is None
    cluster.fail("GET .*/jobs/", 403)
    with pytest.raises(ClusterError, match=r"403.*scripted$"):  # not for want of a right: a quota, say
        api.job("none")
    cluster.down = True
    with pytest.raises(Away, match="jobs/none"):
        Api(patience_s=0.1).job("none")


REFUSED = 'Error creating: pods "vsml-x" is forbidden: '
EVENTS = {  # what a cluster says of a Job that gets no pod: whether that is final, its reason and its message
    "quota for ever": (
        True,
        "FailedCreate",
        REFUSED
        + "exceeded quota: team, requested: cpu=2,memory=4Gi, used: cpu=0,memory=0, limited: cpu=8,memory=2048Mi",
    ),
    "quota": (False, "FailedCreate", REFUSED + "exceeded quota: team, requested: cpu=2, used: cpu=7, limited: cpu=8"),
    "webhook away": (False, "FailedCreate", "Internal error occurred: failed calling webhook: connection refused"),
    "kueue": (False, "Suspended", "Not admitted: insufficient unused quota for nvidia.com/gpu"),
    "limits": (True, "FailedCreate", REFUSED + "maximum cpu usage per Container is 1, but limit is 2"),
    "security": (True, "FailedCreate", REFUSED + 'violates PodSecurity "restricted:latest"'),
    "webhook": (True, "FailedCreate", 'admission webhook "policy.example" denied the request: no team label'),
}


@pytest.mark.parametrize(("final", "reason", "message"), EVENTS.values(), ids=EVENTS)
def test_why_no_pod_comes_is_said_soon_and_again_and_what_is_final_ends(
    api, cluster, monkeypatch, final, reason, message
):
    for name, seconds in (("WHY_AFTER_S", 0.1), ("AGAIN_EVERY_S", 0.3)):
        monkeypatch.setattr(f"pipeline.cluster.following.{name}", seconds)
    monkeypatch.setenv("VSML_PENDING_S", "3")
    cluster.at_once, cluster.events = 0, [{"reason": reason, "message": message}]
    said, began = [], time.monotonic()
    with pytest.raises(Stuck) as stuck:
        _followed(api, _job(api, "exit 0"), said.append)
    assert message in str(stuck.value)
    if final:
        assert not said and time.monotonic() - began < 2 and "gets no pod" in str(stuck.value)
    else:
        assert len(said) >= 2 and all(message in line and "no pod yet" in line for line in said)
        assert "VSML_PENDING_S" in str(stuck.value)


ENDS = {  # what the stage's container is in, and what is said of it
    "InvalidImageName": (
        {"waiting": {"reason": "InvalidImageName", "message": "couldn't parse image"}},
        "cannot start",
    ),
    "OOMKilled": ({"terminated": {"reason": "OOMKilled", "exitCode": 137}}, "needs more memory"),
}


@pytest.mark.parametrize(("state", "why"), ENDS.values(), ids=ENDS)
def test_a_pod_that_will_never_start_or_has_too_little_memory_ends_the_waiting(api, cluster, state, why):
    cluster.at_once, status = 0, {"containerStatuses": [{"name": "stage", "state": state}]}
    pod = {"metadata": {"name": "one"}, "status": {"phase": "Pending", **status}}
    cluster.answers["/api/v1/namespaces/test/pods"] = 200, {"items": [pod]}
    with pytest.raises(Stuck, match=rf"Pod one {why}.*Mend that, `make deploy`, and run this again"):
        _followed(api, _job(api, "exit 0"))


def test_a_log_that_may_not_be_read_is_said_once_and_asked_for_seldom(api, cluster):
    said = []
    for _ in range(9):
        cluster.fail(r"/log\?", 403)
    assert _followed(api, _job(api, "sleep 2; echo done"), said.append) == "Complete"
    first, last = said
    assert "cannot be read: GET" in first and "403" in first and "cannot be had" in last
    assert len(cluster.faults) >= 5, "asked for less and less often while it ran"


def test_a_condition_of_the_job_says_why_and_a_time_that_is_none_is_refused(api, cluster, monkeypatch):
    cluster.at_once, job = 0, _job(api, "exit 0")
    api.create(job)
    name = job["metadata"]["name"]
    condition = {"type": "Suspended", "status": "True", "message": "Job suspended"}
    cluster.jobs[name]["status"]["conditions"] = [condition]
    monkeypatch.setenv("VSML_PENDING_S", "0.2")
    with pytest.raises(Stuck, match="Suspended: Job suspended"):
        Follower(api).follow(name)
    monkeypatch.setenv("VSML_PENDING_S", "soon")
    with pytest.raises(ValueError, match="VSML_PENDING_S is 'soon', expected a number of seconds"):
        Follower(api).follow(name)


def test_a_gang_of_which_one_gets_no_place_is_given_up_too(api, cluster, monkeypatch):
    cluster.at_once, job = 0, _job(api, "exit 0")
    job["spec"]["parallelism"] = 2
    states = {"first": ("Running", {"running": {}}), "second": ("Pending", {"waiting": {"reason": "no room"}})}
    pods = [
        {
            "metadata": {"name": name, "annotations": {NUMBER: "1"}},
            "status": {"phase": phase, "containerStatuses": [{"name": "stage", "state": state}]},
        }
        for name, (phase, state) in states.items()
    ]
    cluster.answers["/api/v1/namespaces/test/pods"] = 200, {"items": pods}
    monkeypatch.setenv("VSML_PENDING_S", "0.5")
    with pytest.raises(Stuck, match=r"wanted a running pod for .*: no room"):
        _followed(api, job)


@pytest.mark.parametrize("renewed", [True, False])
def test_a_token_that_is_renewed_in_its_file_is_read_again_once(cluster, tmp_path, renewed):
    token, config = tmp_path / "token", json.loads(cluster.kubeconfig.read_text())
    token.write_text("old")
    config["users"][0]["user"] = {"tokenFile": str(token)}
    cluster.kubeconfig.write_text(json.dumps(config))
    cluster.token = "old"
    api = Api(patience_s=1)
    assert api.job("none") is None
    cluster.token = "new"
    if renewed:
        token.write_text("new")
        assert api.job("none") is None
    else:
        with pytest.raises(ClusterError, match=r"401.*Has the kubeconfig the right user"):
            api.job("none")


def _read(reader, *lines, ended=True):
    return list(reader.lines([line.encode() for line in lines], ended))


def test_a_reader_gives_each_line_once_and_whole():
    """Lines of one moment are told apart by their number; what the kubelet says of itself has no stamp."""
    reader, at = Reader(), "2026-11-21T10:00:00.1Z"
    assert _read(reader, f"{at} a\n{at} b\n{at} b\n") == ["a", "b", "b"]
    assert _read(reader, f"{at} a\n{at} b\n{at} b\n{at} b\n") == ["b"]
    assert _read(reader, f"{at} half a l", ended=False) == []
    assert _read(reader, f"{at} half a line") == ["half a line"]
    assert _read(reader, "rpc error: no such container\n") == ["rpc error: no such container"]
    assert _read(reader, "rpc error: no such container\n") == []
    assert reader.since == at


def test_every_stamp_that_a_runtime_writes_is_known_and_a_clock_may_be_set_back():
    reader = Reader()
    times = ("00.1Z", "00.12Z", "01Z", "01.000001Z", "00.5Z", "00.7+00:00")
    lines = [f"2026-11-21T10:00:{time} {i}\n" for i, time in enumerate(times)]
    assert _read(reader, *lines) == ["0", "1", "2", "3", "4", "5"]
    assert _read(reader, *lines) == []
    assert reader.since == "2026-11-21T10:00:00.7+00:00"


def test_of_a_gang_the_first_speaks_and_the_ends_of_others_are_told(api, cluster, tmp_path):
    """A silent one holds nothing up; one that is lost is started again under its number."""
    cluster.template("vsml-large", {"PATH": "/usr/bin:/bin"})
    cluster.gang(3)
    job = manifest(api.template("vsml-large"), "meta_train", ("vsml", "0"), "f" * 64, "run", "order")
    mark = tmp_path / "started once"
    script = (
        f"case $JOB_COMPLETION_INDEX in 0) for i in 1 2 3; do echo line $i; sleep 0.3; done;; 1) sleep 4;; "
        f'2) test -e "{mark}" || {{ touch "{mark}"; echo lost >&2; exit 75; }};; esac'
    )
    job["spec"]["template"]["spec"]["containers"][0] |= {"command": ["sh", "-c"], "args": [script]}
    cluster.fail(r"/log\?", "cut", 45)
    at = {}
    assert _followed(api, job, lambda line: at.setdefault(line, time.monotonic())) == "Complete"
    said = list(at)
    assert [line for line in said if line.startswith("line")] == ["line 1", "line 2", "line 3"]
    assert at["line 3"] - at["line 1"] < 2.5, "the silent pod holds nothing up"
    (told,) = [line for line in said if "ended" in line]
    assert "exit code 75, a pod of its Job was lost or hung" in told and said[said.index(told) - 1] == "lost"
    assert sorted(pod.index for pod in cluster.pods) == [0, 1, 2, 2]
