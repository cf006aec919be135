"""Whether results are the published ones: what is said of equal bytes, rounding, other numbers and other verdicts."""

import copy
import json
import shutil
import subprocess

import pytest
from ruamel.yaml import YAML

from pipeline.__main__ import main
from pipeline.run import paths
from pipeline.studies import compare


def git(*words):
    subprocess.run(["git", "-c", "user.name=t", "-c", "user.email=t@t", *words], check=True, capture_output=True)


@pytest.fixture
def made(tmp_path, monkeypatch):
    """The default profile as it is published, in a repository of its own, and made here to the byte."""
    for name in ("params.yaml", "dvc.yaml", "dvc.lock", "docs/results.json", "docs/claims.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(paths.ROOT / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    git("init", "-q")
    git("add", "-A")
    git("commit", "-qm", "published")
    shutil.copytree("docs", "artifacts/report")
    return tmp_path


@pytest.fixture
def results(made):
    return json.loads(paths.report("results.json").read_text())


def alter(path, change):
    tree = json.loads(path.read_text())
    change(tree)
    path.write_text(json.dumps(tree))


def test_what_is_equal_to_the_byte_is_reproduced(made, results, capsys):
    main(["compare"])
    lines = capsys.readouterr().out.splitlines()
    items = len(YAML(typ="safe").load(made / "dvc.lock")["stages"])
    ends = f"numbers are equal, all 31 verdicts are equal, {items} of {items} items to the byte."
    assert lines[-1] == f"Reproduced: {len(results):,} {ends}"
    assert f"The page: file://{made}/artifacts/report/index.html" in lines
    assert not any("git status" in line for line in lines)


def test_rounding_is_no_failure_and_the_largest_difference_is_named(made, results, capsys):
    small, large = "iris/vsml/cumulative@150", "unification/matrix/entries"  # the latter is ten thousand

    def rounded(tree):
        tree[small]["value"] += 2.4e-5
        tree[large]["value"] += 0.1  # 1e-5 of it

    alter(paths.report("results.json"), rounded)
    lock = YAML(typ="safe").load(made / "dvc.lock")
    others = copy.deepcopy(lock)
    others["stages"]["meta_train@vsml-0"]["outs"][0]["md5"] = "0" * 32
    others["stages"]["unify"]["outs"][0]["md5"] = "0" * 32
    next(dep for dep in others["stages"]["unify"]["deps"] if "/plan/" in dep["path"])["md5"] = "1" * 32
    YAML(typ="safe").dump(others, made / "dvc.lock")
    print(*compare.after_repro({}, 0), sep="\n")
    out = capsys.readouterr().out
    assert f"the largest difference is 2.4e-5, of {small}: " in out
    assert "1 left other bytes by the same plan (processors round, or data differ): meta_train@vsml-0." in out
    assert "1 have another plan (code, params, packages) or did not run: unify." in out
    assert "`git status` names it: `git checkout dvc.lock` takes back those of HEAD." in out
    count = len(lock["stages"])
    assert out.endswith(f"agree to 2.4e-5, all 31 verdicts are equal, {count - 2} of {count} items to the byte.\n")


def test_another_number_or_verdict_or_none_is_not_reproduced(made, results, capsys):
    first, second, *_ = results

    def spoil(tree):
        tree[first]["value"] += 0.01
        del tree[second]

    alter(paths.report("results.json"), spoil)
    alter(paths.report("claims.json"), lambda tree: tree["claims"][1].update(verdict="not reproduced"))
    with pytest.raises(SystemExit) as stop:
        main(["compare", "HEAD"])
    out = capsys.readouterr().out
    name = json.loads((made / "docs/claims.json").read_text())["claims"][1]["id"]
    assert stop.value.code == 1 and f"    {name}: 'reproduced' then, 'not reproduced' now" in out
    assert out.endswith(
        "Not reproduced: 1 numbers are off by more than 0.001, 1 numbers are missing, 1 of 31 verdicts changed.\n"
    )


def test_without_published_results_nothing_is_judged(made, capsys, monkeypatch):
    git("rm", "-q", "--cached", "docs/claims.json")
    git("commit", "-qm", "taken back")
    for words, sentence in (
        (["compare"], "compare: HEAD has no docs/claims.json to compare with"),
        (["compare", "v9"], "compare: 'v9' is no commit of this repository"),
    ):
        with pytest.raises(SystemExit) as stop:
            main(words)
        assert stop.value.code == 2 and capsys.readouterr().err.startswith(sentence)
    with monkeypatch.context() as of_another, pytest.raises(SystemExit):
        of_another.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
        main(["compare"])
    assert "git config --global --add safe.directory" in capsys.readouterr().err
    print(*compare.after_repro({}, 0), sep="\n")
    assert "There is nothing to compare the results with: HEAD has no docs/claims" in capsys.readouterr().out
