"""whence, evidence, verify and replay, on the repository of the audit's own tests."""

import json
import platform
import random
import re
import shutil
import subprocess
import sys

import pytest

from pipeline.run import job as provenance
from pipeline.run import paths
from pipeline.run.artifacts import read_table, sha256_file, write_table
from tests.pipeline.audit.conftest import edited

pytestmark = pytest.mark.slow


def _whence(audited, path) -> tuple[str, bool]:
    asked = "from pathlib import Path\nfrom pipeline.audit import whence\n"
    lines, whole = audited.do(f"{asked}answer = whence.story(store, Path({str(path)!r}))")
    return "\n".join(lines), whole


@pytest.mark.parametrize("name", ["figure/cloning.png", "figure/meta_training.pdf", "report/index.html"])
def test_a_copy_is_known_wherever_it_lies(audited, tmp_path, name):
    copy = shutil.copy(audited.root / "artifacts" / name, tmp_path)
    said, whole = _whence(audited, copy)
    commit = audited.run("git", "rev-list", "--max-parents=0", "HEAD").strip()
    assert whole, said
    assert "the very bytes that a run left" in said and f"commit {commit} (clean)" in said
    if name != "figure/meta_training.pdf":  # of curves whose training, here, has read no more than data
        assert "clone_test 0" in said
    assert "publisher: digits/digits.csv.gz from the wheel of scikit-learn" in said


def test_a_copy_that_was_edited_is_known_as_such(audited, tmp_path):
    copy = tmp_path / "edited.html"
    page = (audited.root / "artifacts/report/index.html").read_text()
    copy.write_text(page.replace("</body>", "<p>Ten times better.</p></body>"))
    said, whole = _whence(audited, copy)
    assert not whole and "Edited after it was drawn" in said and "publisher: digits" in said


def test_a_file_of_others_is_unknown(audited, tmp_path):
    (tmp_path / "mine.png").write_bytes(b"mine")
    said, whole = _whence(audited, tmp_path / "mine.png")
    assert not whole and "there is no stamp in them" in said


@pytest.fixture(scope="module")
def bundle(audited, tmp_path_factory):
    folder = tmp_path_factory.mktemp("evidence") / "bundle"
    key = folder.with_name("key")
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    folder.with_name("signers").write_text(f"me@here {key.with_suffix('.pub').read_text()}")
    said = audited.run("python", "-m", "pipeline", "evidence", str(folder), "--key", str(key))
    assert said.splitlines()[-1] == sha256_file(folder / "SHA256SUMS")
    return folder


def test_a_bundle_is_whole_and_says_so_without_a_network(bundle):
    command = [sys.executable, "-m", "pipeline", "verify", str(bundle), "--sums", sha256_file(bundle / "SHA256SUMS")]
    command += ["--signers", str(bundle.with_name("signers"))]
    done = subprocess.run(command, cwd=paths.ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "is whole. It is signed by me@here." in done.stdout, done.stderr
    one = json.loads((bundle / "statements/cloning_figure@cloning.json").read_text())
    assert {subject["name"] for subject in one["subject"]} == {f"artifacts/figure/cloning.{e}" for e in ("png", "pdf")}
    definition = one["predicate"]["buildDefinition"]
    assert definition["externalParameters"]["command"] == "exec python -m pipeline figure cloning"
    assert any(dep.get("name") == "artifacts/clone_test/0.npz" for dep in definition["resolvedDependencies"])


def test_the_packages_are_a_valid_list_and_come_with_their_hashes(audited, bundle):
    from cyclonedx.schema import SchemaVersion  # here: it takes more than a second, of those who run other tests, too
    from cyclonedx.validation.json import JsonStrictValidator

    text = (bundle / "sbom.cdx.json").read_text()
    made = json.loads(text)
    some = json.dumps(made | {what: made[what][::8] for what in ("components", "dependencies")})  # of all: 20 s
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(some) is None
    assert "file:" not in text and str(audited.root) not in text
    assert made["metadata"]["component"]["version"] == platform.python_version()
    listed = {one["name"]: one for one in made["components"]}
    assert listed["jax"]["purl"] == f"pkg:pypi/jax@{provenance.versions()['jax']}"
    assert listed["jax"]["licenses"] == [{"license": {"acknowledgement": "declared", "id": "Apache-2.0"}}]
    needs = {one["ref"]: one["dependsOn"] for one in made["dependencies"] if "dependsOn" in one}
    assert listed["jaxlib"]["bom-ref"] in needs[listed["jax"]["bom-ref"]]
    assert (bundle / "requirements.lock").read_bytes() == (audited.root / "requirements.lock").read_bytes()


def test_the_crate_lists_every_file_and_leads_from_each_figure_to_its_commit(audited, bundle):
    crate = json.loads((bundle / "ro-crate-metadata.json").read_text())["@graph"]
    known = {one["@id"]: one for one in crate}
    assert len(known) == len(crate)
    # Each reference is to something that is described.
    references = {one for one in re.findall(r'{"@id": "([^"]+)"}', json.dumps(crate)) if one not in known}
    assert references == {"https://w3id.org/ro/crate/1.1"}
    there = {path.relative_to(bundle).as_posix() for path in bundle.rglob("*") if path.is_file()}
    parts = [one["@id"] for one in known["./"]["hasPart"]]
    assert {*parts} == there - {"SHA256SUMS", "evidence.dsse.json", "ro-crate-metadata.json"}
    assert all(known[name]["sha256"] == sha256_file(bundle / name) for name in parts)

    runs = [known[one["@id"]] for one in known["./"]["mentions"]]
    left = {one["@id"]: run for run in runs for one in run["result"]}
    seen, above = set(), [name for name in parts if name.startswith("artifacts/")]
    assert above
    while above:
        name = above.pop()
        if name not in seen and name in left:  # else it is a publisher's
            above += [one["@id"] for one in left[name]["object"]]
        seen.add(name)
    assert {name for name in seen if name not in left} == {one for one in seen if one.startswith(("wheel:", "http"))}
    commit = audited.run("git", "rev-list", "--max-parents=0", "HEAD").strip()
    assert {run["instrument"]["@id"] for run in runs} == {f"swh:1:rev:{commit}"}
    assert all(run["subjectOf"]["@id"] in there for run in runs)


def test_a_replay_is_identical_until_the_original_was_another(audited, tmp_path):
    words = ("replay", "test_data", "iris")
    status, said, error = audited.end("python", "-m", "pipeline", *words)
    assert status == 0, said + error
    assert "artifacts/test_data/iris.npz: bit-identical" in said and "the same then and now: numpy" in said
    assert "worktree" not in audited.run("git", "worktree", "list").partition("\n")[2]

    name = "artifacts/test_data/iris.npz"
    run = audited.run_of("test_data", set="iris")
    left, manifest = audited.artifact(run, f"outs/{name}"), audited.artifact(run, "manifest.json")
    arrays, axes = read_table(left)
    write_table(tmp_path / "other.npz", arrays | {"x": arrays["x"] + 1}, axes)
    other = (tmp_path / "other.npz").read_bytes()
    before, after = (sha256_file(path).encode() for path in (left, tmp_path / "other.npz"))
    with edited(left, lambda content: other), edited(manifest, lambda content: content.replace(before, after)):
        status, said, error = audited.here(*words)
    assert status == 1 and f"{name}: different (x by" in said, said + error

    for change, why in (
        ({"deps": {"artifacts/../../planted": before.decode()}}, "'artifacts/../../planted' is no place in a profile"),
        ({"deps": {"/tmp/planted": before.decode()}}, "'/tmp/planted' is no place in a profile"),
        ({"outs": None}, "manifest.json of MLflow run {run} is not as it must be (outs: input should be an object"),
        ({"outs": {}}, "names no outs to compare with"),
    ):
        planted = json.dumps(json.loads(manifest.read_text()) | change).encode()
        with edited(manifest, lambda content, planted=planted: planted):
            status, said, error = audited.here(*words)
        assert status == 2 and why.replace("{run}", run) in error, said + error
    with edited(manifest, lambda content: b"[]"), pytest.raises(AssertionError, match="is not as it must be"):
        _whence(audited, audited.root / name)


def test_an_audit_makes_items_again_that_chance_chooses(audited, tmp_path):
    """For a seed always the same. Here tables of baselines are made up, as the audit cannot know, and a replay can."""

    names = sorted(one for one in audited.lock() if one != "plan")

    def again(*drawn: str) -> tuple[str, ...]:
        seeds = (seed for seed in range(10_000) if {*random.Random(seed).sample(names, len(drawn))} == {*drawn})
        return "audit", "--replay", str(len(drawn)), "--seed", str(next(seeds))

    words = again("test_data@iris", "cloning_figure@cloning")
    status, said, error = audited.end("python", "-m", "pipeline", *words, "--json", str(tmp_path / "found.json"))
    assert status == 0 and "artifacts/figure/cloning.png: bit-identical" in said, said + error
    ends = json.loads((tmp_path / "found.json").read_text())["made_again"]
    assert ends == {"cloning_figure@cloning": "alike", "test_data@iris": "alike"}
    status, said, error = audited.here(*again("baseline@nearest_mean"))
    assert status == 1 and "3 figures and pages: 3 proved" in said, said + error
    assert "  baseline@nearest_mean: different" in said
