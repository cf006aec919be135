"""What `import vsml` gives: rules from names and files, rules of one's own, and examples that run."""

import importlib.metadata
import io
import runpy
import subprocess
import sys
import tomllib
import zipfile
from functools import partial
from pathlib import Path
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vsml
from vsml.core.rollout import rollout
from vsml.core.types import Episode
from vsml.meta_training import SETTINGS
from vsml.tasks.synthetic import random_points

ROOT = Path(__file__).parents[2]
POINTS = partial(random_points, length=20, features=4, classes=2, points=4)
SMALL: dict[str, Any] = {"steps": 3, "population": 4}
SIMPLE = SETTINGS | {"backward_pass": False, "layer_norm": False}  # compiled sooner


@pytest.fixture
def usual_promotion():
    with jax.numpy_dtype_promotion("standard"):  # optax mixes types
        yield


def same(one, other):
    jax.tree.map(np.testing.assert_array_equal, one.theta, other.theta)
    return (one.settings, one.provenance, one.card) == (other.settings, other.provenance, other.card)


def test_importing_it_imports_nothing_that_is_not_used():
    code = "import sys, vsml; vsml.__version__; print({'jax', 'sklearn', 'pipeline'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
    assert vsml.__version__ == importlib.metadata.version("vsml")
    citation, project = (ROOT / "CITATION.cff").read_text(), tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert f"\nversion: {vsml.__version__}\n" in citation
    (author,) = project["project"]["authors"]
    assert f"\nauthors:\n  - name: {author['name']}\n" in citation
    assert f"\n## {vsml.__version__}" in (ROOT / "CHANGELOG.md").read_text()
    assert all(getattr(vsml, name).__doc__ for name in vsml.__all__) and set(vsml.__all__) <= set(dir(vsml))
    with pytest.raises(AttributeError, match="module 'vsml' has no attribute 'lod'"):
        vsml.lod  # noqa: B018


def test_without_scikit_learn_the_estimator_says_how_to_get_it(monkeypatch):
    for name in ("sklearn.base", "vsml.classifier"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(ModuleNotFoundError, match=r"VSMLClassifier needs scikit-learn: pip install 'vsml\[sklearn\]'"):
        _ = vsml.VSMLClassifier


def test_a_rule_is_saved_and_loaded_whole_and_the_same_rule_gives_the_same_bytes(tmp_path):
    rule = vsml.load("digits")
    for name in ("a", "b"):
        vsml.save(rule, tmp_path / f"{name}.npz")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    again = vsml.load(str(tmp_path / "a.npz"))
    assert again.name == "a" and same(again, rule)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.md", "a.npz", "b.md", "b.npz"]


def damaged(folder: Path) -> Path:
    whole = (ROOT / "vsml/zoo/digits.npz").read_bytes()
    (folder / "half.npz").write_bytes(whole[: len(whole) // 2])
    return folder / "half.npz"


def table(folder: Path) -> Path:
    np.savez(folder / "table.npz", x=np.zeros(3))
    return folder / "table.npz"


def vast(folder: Path) -> Path:
    """An array of terabytes, of which there is the header alone."""
    header = io.BytesIO()
    about = {"descr": "<f4", "fortran_order": False, "shape": (10**13,)}
    np.lib.format.write_array_header_1_0(header, about)
    with zipfile.ZipFile(folder / "vast.npz", "w") as archive:
        archive.writestr("theta.npy", header.getvalue())
    return folder / "vast.npz"


def formless(folder: Path) -> Path:
    (folder / "flp.npz").write_bytes((ROOT / "vsml/zoo/flp_sines.npz").read_bytes())
    return folder / "flp.npz"


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda at: vsml.load(at / "none.npz"), r"none.npz' is none of the rules \[.*'digits'.*, and no file either"),
        (
            lambda at: vsml.load("digits", horizon=4),
            r"horizon \(=4\) is for rules that remember, which 'digits' is not",
        ),
        (lambda at: vsml.load(damaged(at)), "half.npz is no learned rule: use one of `vsml.save`"),
        (lambda at: vsml.load(table(at)), "table.npz is no learned rule"),
        (lambda at: vsml.load(vast(at)), "vast.npz is no learned rule"),
        (lambda at: vsml.load(formless(at)), "flp.json is missing, which says the form of the network"),
        (lambda at: vsml.save(vsml.load("digits"), at / "mine"), r"mine\) must end in .npz, as mine.npz"),
        (lambda at: vsml.save(vsml.load("recall_direct"), at / "a.npz"), "of the kind 'recall', which is not saved"),
        (lambda at: vsml.load("digits").learner(0, 2), r"features \(=0\) must be a whole number, 1 or more"),
        (lambda at: vsml.meta_train([], 3), r"draw \(of 0\) must be one, or as many as share the population"),
        (lambda at: vsml.meta_train(POINTS, 0), r"steps \(=0\) must be a whole number, 1 or more"),
        (lambda at: vsml.meta_train(POINTS, 1, population=0), r"population \(=0\) must be a whole number"),
        (
            lambda at: vsml.meta_train(POINTS, 1, learning_rate=-1.0),
            r"learning_rate \(=-1.0\) and clip \(=1.0\) must be",
        ),
        (lambda at: vsml.meta_train(POINTS, 1, start="diggits"), "'diggits' is none of the rules"),
        (lambda at: vsml.meta_train(POINTS, 1, start=str(at / "none.npz")), "none.npz' is none of the rules"),
        (lambda at: vsml.meta_train(POINTS, 1, settings={"hiden": 8}), r"settings has \['hiden'\], which are none of"),
        (lambda at: vsml.meta_train(cast(Any, lambda key: 5), 1), "it must be an Episode of x and y"),
        (
            lambda at: vsml.meta_train(lambda key: Episode(jnp.zeros((5, 2)), jnp.zeros(5)), 1),
            r"x \(5, 2\) and y \(5,\)",
        ),
    ],
)
def test_what_does_not_fit_is_refused_in_a_sentence(wrong, said, tmp_path):
    with pytest.raises(ValueError, match=said):
        wrong(tmp_path)


@pytest.mark.parametrize(("features", "labels"), [(4, jnp.zeros((5, 2))), (3, jnp.zeros(5, int))])
def test_a_learner_refuses_examples_of_another_size_and_labels_that_are_not_one_hot(features, labels, key):
    rule = vsml.load("digits")
    with pytest.raises(ValueError, match=r"this learner takes 3 features and 2 classes: labels are one-hot"):
        rollout(rule.learner(3, 2), rule.theta, key, Episode(jnp.zeros((5, features)), labels))


def test_a_rule_of_ones_own_is_followed_stopped_kept_and_gone_on_from(tmp_path, usual_promotion):
    seen = []

    def follow(step, theta, report):
        seen.append((step, float(report.loss)))
        return step == 2

    rule = vsml.meta_train(POINTS, **SMALL, name="own", settings=SIMPLE, callback=follow)
    assert rule.settings == SIMPLE
    assert [step for step, _ in seen] == [1, 2] and all(0 < loss < 5 for _, loss in seen)
    assert rule.provenance == {"experiment": "own", "seed": "0", "meta_steps": 2}
    vsml.save(rule, tmp_path / "own.npz")
    loaded = vsml.load(tmp_path / "own.npz")
    assert same(loaded, rule) and f"2 meta-steps, seed 0; its last loss is {seen[-1][1]:.3f} nats" in loaded.card
    vsml.save(rule._replace(card=""), tmp_path / "own.npz")
    assert vsml.load(tmp_path / "own.npz").card == "", "the card of another rule must not stay"
    longer = [partial(random_points, length=40, features=features, classes=3) for features in (2, 5)]
    further = vsml.meta_train(longer, **SMALL, start=loaded)
    assert further.provenance["start"] == rule.provenance
    moved = jax.tree.leaves(jax.tree.map(lambda a, b: float(jnp.abs(a - b).max()), further.theta, rule.theta))
    assert 0 < max(moved) < 0.05, "it went on from the rule, three small steps"


@pytest.mark.parametrize(("name", "words", "least"), [("classify", [], 0.9), ("meta_train", ["1"], 0.0)])
def test_examples_run(name, words, least, tmp_path, monkeypatch, capsys, usual_promotion):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [name, *words])
    runpy.run_path(str(ROOT / f"examples/{name}.py"), run_name="__main__")
    share, _, rest = capsys.readouterr().out.partition(" ")
    assert float(share) >= least and rest == "of new wines are classified right\n"
    assert (tmp_path / "mine.npz").exists() == (name == "meta_train")


def test_an_example_that_takes_a_word_says_so(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["meta_train.py", "--help"])
    with pytest.raises(SystemExit) as stop:
        runpy.run_path(str(ROOT / "examples/meta_train.py"), run_name="__main__")
    assert stop.value.code == 0 and capsys.readouterr().out.startswith("usage: meta_train.py [-h] [steps]")
