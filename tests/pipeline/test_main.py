"""The command line: what a user's mistakes are answered with, by `main` itself, and that asking for help is quick."""

import ast
import os
import shutil
import sqlite3
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from unittest import mock

import pytest

from pipeline.__main__ import ARGUMENTS, TOOLS, main
from pipeline.audit import show
from pipeline.audit.walk import Audit
from pipeline.run import paths
from pipeline.studies.stages import STAGES

HEAVY = ("dvc", "jax", "kubernetes", "matplotlib", "mlflow", "scipy", "sklearn")
MISTAKES = {  # what was typed, the exit status, and what the one line on stderr says
    "": (2, "A word is missing, that of a stage or a tool. See python -m pipeline --help."),
    "audi": (2, "'audi' is neither a stage nor a tool. Did you mean 'audit'?"),
    "meta_tran vsml 0": (2, "'meta_tran' is neither a stage nor a tool. Did you mean 'meta_train'?"),
    "meta_train vsm 0": (2, "Did you mean 'vsml 0'? EXPERIMENT SEED is one of: vsml 0, vsml 1, vsml 2."),
    "meta_train vsml": (2, "meta_train vsml: no item of the profile"),
    "meta_train vsml 0 --seed": (2, "pipeline meta_train: '--seed' is no word that it takes."),
    "unify 3": (2, "unify 3: no item of the profile"),
    "baseline": (2, "BASELINE is one of: sgd, "),
    "audit --remoot": (2, "pipeline audit: '--remoot' is no word that it takes. Did you mean '--remote'?"),
    "audit docs": (2, "argument profile: 'docs' is no profile: name the folder of one"),
    "compare --tolerance nan": (2, "argument --tolerance: 'nan' must be a number from 0 on."),
    "compare --tolerance -1": (2, "argument --tolerance: '-1' must be a number from 0 on."),
    "evaluate --rule digits": (2, "the following arguments are required: --data"),
    "evaluate --episodes 0": (2, "argument --episodes: '0' must be a whole number from 1 on."),
    "evaluate --out curves.gif": (2, "argument --out: 'curves.gif' must end in .png or .pdf."),
    "evaluate --rule digit --data a.npz": (2, "one of the rules that ship and classify, ['digits', 'mnist']"),
    "evidence": (2, "the following arguments are required: folder"),
    "evidence docs": (2, "docs exists already: name a new folder"),
    "deploy": (2, "the following arguments are required: overlay"),
    "deploy klind": (2, "k8s/overlays has no 'klind', only ['cluster', 'kind']. Did you mean 'kind'?"),
    "deploy kind que": (2, "deploy: k8s/components has no 'que', only ["),
    "deploy kind vmsl=vsml:1": (2, "deploy: 'vmsl' is none of the images ['vsml', "),
    "deploy kind vsml=vsml": (2, "deploy: The image 'vsml' has neither a tag nor a digest"),
    "doctor now": (2, "'now' is no word that it takes."),
    "jobs cancle all": (2, "argument act: invalid choice: 'cancle'"),
    "jobs follow": (2, "jobs: follow takes one name, got []."),
    "plan digits": (2, "'digits' is no word that it takes."),
    "readme benches": (2, "argument what: invalid choice: 'benches'"),
    "readme --check bench": (2, "argument what: not allowed with argument --check"),
    "replay meta_tran vsml 0": (2, "replay: 'meta_tran' is none of the stages"),
    "repro --jobs 0": (2, "argument --jobs: '0' must be a whole number from 1 on."),
    "repro nowhere/dvc.yaml": (2, "'nowhere/dvc.yaml' is no file: name the dvc.yaml of a profile, or go"),
    "ship vsml first mine": (2, "argument seed: 'first' must be a whole number from 0 on."),
    "ship vsml 0 ../mine": (2, "argument name: '../mine' must be a plain word"),
    "ship vsml 0": (2, "the following arguments are required: name"),
    "uploads --here --stay": (2, "argument --stay: not allowed with argument --here"),
    "verify docs": (2, "verify: docs is no bundle of evidence that can be verified: "),
    "whence nothing.png": (2, "argument file: 'nothing.png' is no file."),
}  # fmt: skip


def test_flags_in_a_file_are_refused_and_a_reader_may_have_had_enough(monkeypatch, capsys):
    monkeypatch.setenv("XLA_FLAGS", "flags.txt")  # of which XLA would abort the process
    with pytest.raises(SystemExit) as stop:
        main(["jobs"])
    assert stop.value.code == 2 and "XLA_FLAGS has 'flags.txt', expected flags that begin" in capsys.readouterr().err
    shell = f"XLA_FLAGS= {sys.executable} -m pipeline --help | true"
    assert subprocess.run(["sh", "-c", shell], capture_output=True, check=True).stderr == b""


@pytest.mark.parametrize("typed", MISTAKES)
def test_a_mistake_is_answered_in_one_line(typed, monkeypatch, capsys):
    monkeypatch.chdir(paths.ROOT)
    status, sentence = MISTAKES[typed]
    with pytest.raises(SystemExit) as stop:
        main(typed.split())
    out, error = capsys.readouterr()
    assert stop.value.code == status and out == ""
    assert sentence in error and error.count("\n") == 1


def test_a_stage_outside_of_a_profile_says_so(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stop:
        main(["meta_train", "vsml", "0"])
    assert stop.value.code == 2
    assert capsys.readouterr().err.startswith(f"meta_train: {tmp_path} is no profile: go to the folder of one")


def test_ctrl_c_is_one_line(monkeypatch, capsys):
    def pressed(*given):
        raise KeyboardInterrupt

    monkeypatch.setattr(sys.modules["pipeline.__main__"], "_parsed", pressed)
    with pytest.raises(SystemExit) as stop:
        main(["audit"])
    assert stop.value.code == 130 and capsys.readouterr().err == "audit: stopped by Ctrl-C.\n"


def test_a_fault_of_ours_keeps_its_traceback_and_is_no_verdict(monkeypatch, capsys):
    monkeypatch.setattr(sys.modules["pipeline.__main__"], "_parsed", lambda *given: {"no": "such argument"})
    with pytest.raises(TypeError, match="unexpected keyword argument"):
        main(["plan"])
    with pytest.raises(SystemExit) as stop:
        main(["whence"])
    assert stop.value.code == 2, "for 1 would be a verdict"
    assert capsys.readouterr().err.startswith("Traceback (most recent call last):")


def test_the_page_of_an_audit_says_what_was_made_again(tmp_path, monkeypatch):
    monkeypatch.chdir(paths.ROOT)
    monkeypatch.setattr(show, "audit", lambda *_: Audit([], {}, {}, {}, 0, 0.0))
    monkeypatch.setattr(show, "made_again", lambda *_: {"unify": show.DIFFERENT})
    with pytest.raises(SystemExit) as stop:
        main(["audit", "--replay", "1", "--html", str(tmp_path / "audit.html")])
    assert stop.value.code == 1 and "<li>unify: different</li>" in (tmp_path / "audit.html").read_text()


def test_a_database_that_another_process_has_is_not_to_be_removed(monkeypatch, capsys):
    monkeypatch.setattr(show, "main", mock.Mock(side_effect=sqlite3.OperationalError("database is locked")))
    with pytest.raises(SystemExit) as stop:
        main(["audit"])
    assert stop.value.code == 2 and "another process writes to a database" in capsys.readouterr().err


@pytest.mark.parametrize("word", TOOLS)
def test_a_tool_takes_what_is_declared_for_it(word):
    module = find_spec(f"pipeline.{TOOLS[word]}")
    assert module and module.origin
    body = ast.parse(Path(module.origin).read_bytes()).body
    (takes,) = [node.args.args for node in body if isinstance(node, ast.FunctionDef) and node.name == "main"]
    declared = [name.removeprefix("--").replace("-", "_") for tool, name, *_ in ARGUMENTS if tool == word]
    names = [one.arg for one in takes if one.arg not in ("root", "folder") or one.arg in declared]  # those are of tests
    assert sorted(names) == sorted(declared)


@pytest.mark.parametrize("word", [*TOOLS, "meta_train", "report"])
def test_help_has_what_the_module_says_of_itself(word, capsys):
    with pytest.raises(SystemExit) as stop:
        main([word, "--help"])
    out = capsys.readouterr().out
    assert stop.value.code == 0 and out.startswith(f"usage: python -m pipeline {word}") and out.count("\n") > 6


def test_without_a_package_it_says_what_to_install():
    own = (("plan", "plan: ", 1, ()), ("audit", "audit: ", 2, ()), ("--help", "python -m pipeline: ", 0, TOOLS))
    for word, said, status, listed in own:
        code = f"import sys\nsys.modules['pydantic'] = None\nfrom pipeline.__main__ import main\nmain(['{word}'])"
        done = subprocess.run([sys.executable, "-c", code], cwd=paths.ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == status and done.stderr.count("\n") == 1
        assert done.stderr.startswith(f"{said}the package pydantic is missing. pip install 'vsml[pipeline]' brings")
        assert [line.split()[0] for line in done.stdout.splitlines()[1:]] == [*listed]


@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make")
@pytest.mark.parametrize("target", ["compare", "repro", "audit", "ui"])
def test_make_names_the_nearest_profile_where_there_is_none(target):
    apart = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    command = ["make", "--dry-run", target, "PROFILE=mnst"]
    done = subprocess.run(command, cwd=paths.ROOT, env=apart, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and done.stdout == "" and done.stderr.count("\n") == 1
    assert "There is no profile 'mnst'. Did you mean 'mnist'?" in done.stderr


@pytest.mark.parametrize("words", ["audit --help", "--help", "audi", ""])  # the first starts again, from sources
def test_vsml_calls_itself_so(words, tmp_path):
    script = tmp_path / "vsml"
    script.write_text("from pipeline.__main__ import command\ncommand()")
    command = [sys.executable, str(script), *words.split()]
    done = subprocess.run(command, cwd=paths.ROOT, capture_output=True, text=True, check=False)
    said = done.stdout + done.stderr
    assert "python -m pipeline" not in said and "vsml" in said.splitlines()[0], said


def test_help_names_every_word_and_asking_imports_nothing_heavy():
    asked = "for words in (['--help'], ['--version'], ['meta_train', '-h']):\n"
    asked += "    try: main(words)\n    except SystemExit as end: assert end.code == 0\n"
    code = f"import sys\nfrom pipeline.__main__ import main\n{asked}print({{*sys.modules}} & {{*{HEAVY}}})"
    done = subprocess.run([sys.executable, "-c", code], cwd=paths.ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for word in (*TOOLS, *STAGES, "vsml 0."):
        assert word in done.stdout
    assert done.stdout.splitlines()[-1] == "set()"
