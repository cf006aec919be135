"""A learned rule on a user's data: what is printed and drawn, and one clear sentence for everything that is wrong."""

import io
import json
import os
import re
import shlex
import zipfile
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pandas
import psutil
import pytest
from sklearn.datasets import load_wine

from pipeline.__main__ import main
from pipeline.run import paths
from pipeline.run.artifacts import write_arrays, write_rule
from pipeline.show.looks import LOOKS
from pipeline.studies.learning import evaluate
from pipeline.studies.learning.evaluate import RATES, RIVALS, Row, Trial
from pipeline.studies.learning.examples import read_examples
from tests.pipeline.studies.conftest import must_be_legible
from vsml.learners.network import network

LEARNER = {"hidden": 4, "message": 2, "ticks": 1, "per_layer": False}
LEARNER |= dict.fromkeys(("backward_pass", "feed_label", "layer_norm"), True)
X = np.random.default_rng(0).normal(size=(40, 2, 3))
Y = (X[:, 0, 0] > 0).astype(int)


@pytest.fixture(scope="module")
def rule(tmp_path_factory):
    path = tmp_path_factory.mktemp("rule") / "rule.npz"
    theta = jax.jit(network((3, 2), **LEARNER).init_theta)(jax.random.key(0))
    settings = LEARNER | {"name": "vsml", "convolutions": [], "hidden_layers": []}
    write_rule(path, theta, settings, {"experiment": "untrained"})
    return path


@pytest.fixture
def data(tmp_path, monkeypatch):
    """A file of 40 examples, in the current folder."""
    monkeypatch.chdir(tmp_path)
    np.savez("my.npz", x=X, y=Y)
    return tmp_path / "my.npz"


def trial(episodes, length, random_features=0, seed=0):
    keys = jax.random.split(jax.random.key(seed), episodes)
    return Trial(read_examples("my.npz"), random_features, keys, length)


def refusal(args, capsys):
    """The one sentence on stderr with which `args` are refused."""
    with pytest.raises(SystemExit) as stop:
        main(["evaluate", *map(str, args)])
    out, err = capsys.readouterr()
    assert stop.value.code == 2 and out == ""
    assert err.startswith("evaluate: ") and err.endswith(".\n") and err.count("\n") == 1
    return err.removeprefix("evaluate: ").strip()


def test_the_command_prints_a_table_and_advice_draws_the_curves_and_leaves_the_numbers(rule, data, capsys):
    kinds = np.arange(40) % 11
    np.savez(data, X=X[kinds] + 0.1 * X, y=np.array([*"abcdefghijk"])[kinds])
    words = f"evaluate --rule {rule} --data my.npz --episodes 8 --length 32 --out o/my.png --random-features 2 --seed 1"
    main(words.split())
    said = capsys.readouterr().out
    for words in (
        "my.npz: 40 examples, 6 features, 11 classes: a, b, c, d, e, f, g, h, i, j and 1 more.\n",
        "8 episodes of 32 examples in random order, no example twice",
        "standardised by its mean and standard deviation over all examples",
        "; seed 1.\n",
        "All learners see 2 random features beside these.\n",
        "1-NN keeps every example; the memory of all others is constant.",
        "this one suits these data better: --rule ",  # since the given one is untrained
    ):
        assert words in said
    head, *lines = said.split("\n\n")[1].splitlines()
    assert head.split() == ["examples", "10", "30", "32"]
    names = [re.split(r"\s{2,}", line)[0] for line in lines if not line.startswith(" ")]
    shipped = ["rule digits", "rule mnist"]
    rivals = ["guessing", "SGD at 0.01", "SGD at its best rate", "Adam at 0.001", "Adam at its best rate"]
    rivals += [LOOKS[name].name for name in ("sgd_hidden", "adam_hidden", "nearest_mean")]
    rivals += [f"{LOOKS[name].name} at its best strength" for name in ("ridge", "naive_bayes")]
    assert names == ["rule rule.npz", *shipped, *rivals, LOOKS["nearest_neighbour"].name]
    assert Path("o/my.png").read_bytes().startswith(b"\x89PNG")
    numbers = json.loads(Path("o/my.json").read_text())
    assert numbers["classes"] == 11 and numbers["class_names"] == [*"abcdefghijk"]
    assert [*numbers["accuracy"]["guessing"]] == ["10", "30", "32"] and numbers["ahead"].keys() == {*names[1:]}
    shown = next(line for line in lines if line.startswith("SGD at its best")).split("  ")[-1].strip()
    entry = numbers["accuracy"]["SGD at its best rate"]["32"]
    assert shown == f"{entry['value']:.3f} ± {entry['sd']:.3f}" and entry["n"] == 8 and entry["rate"] in RATES


@pytest.fixture
def rows():
    """Sixteen episodes of 20 examples: the rule is never right, SGD is at one rate early, at the slowest late."""
    found = np.zeros((len(RATES), 16, 20), bool)
    found[RATES.index(0.01), ::2, :5] = True  # 5 of 10, then of 20, in every other episode
    found[0, :, 10:] = True
    return [Row("rule x", np.zeros((1, 16, 20), bool)), *evaluate.rows_of(RIVALS[1], found)]


def test_the_table_is_that_of_the_episodes(rows):
    none, usual, best, rates = [re.split(r"\s{2,}", line) for line in evaluate.table(rows, 20).splitlines()[1:]]
    assert none[1:] == ["0.000 ± 0.000"] * 2
    assert usual == ["SGD at 0.01", "0.250 ± 0.258", "0.125 ± 0.129"]
    assert best == ["SGD at its best rate", "0.250 ± 0.258", "0.500 ± 0.000"]
    assert rates[1:] == ["at 0.01", "at 0.0001"]


def test_it_says_when_a_rule_is_of_no_use_and_which_is_better(rows):
    guessing, right = Row("guessing", np.zeros((1, 16, 20), bool)), Row("rule y", np.ones((1, 16, 20), bool))
    bad = evaluate.advice([*rows, guessing, right], 20).splitlines()
    assert "  SGD at its best rate  -0.500 [-0.500, -0.500]" in bad
    assert bad[-5:] == [
        "It has learned nothing that is of use: so much does guessing get right.",
        "It is no better than guessing.",
        "It is worse than SGD at 0.01, SGD at its best rate, rule y.",
        "Of the rules that ship, this one suits these data better: --rule y.",
        "Best of all is rule y, 1.000 ahead of it.",
    ]
    assert evaluate.advice([right, *rows, guessing], 20).endswith("It is ahead of all of them.")
    alone = [row._replace(found=row.found[:, :1]) for row in rows]
    assert evaluate.advice(alone, 20) == "One episode does not tell skill from luck: --episodes 16 does."


@pytest.mark.parametrize("chance", [0.5, 0.97])
def test_no_words_of_its_figure_overlap_whatever_they_are(chance):
    def rows(entrant):
        return evaluate.rows_of(entrant, np.random.default_rng(0).random((len(entrant.rates), 16, 178)) < chance)

    own = RIVALS[0]._replace(look=LOOKS["vsml"]._replace(name="rule digits"))
    drawn = evaluate.draw([row for entrant in (own, *RIVALS) for row in rows(entrant)], 178, f"a$b$c_{'W' * 90}.csv")
    must_be_legible(drawn)
    assert drawn.get_suptitle() == f"a$b$c_{'W' * 30}…\nmean over n = 16 episodes; shaded: ± 1 sd of the rule"


def test_guessing_says_the_class_that_was_the_commonest_before_each_example(data):
    np.savez(data, x=X, y=np.arange(40) > 15)
    own = trial(6, 40, seed=3)
    for found, key in zip(own.run(RIVALS[0], 6)[0], own.keys, strict=True):
        y = own.examples.y[jax.random.permutation(jax.random.split(key)[0], 40)]
        counts = [np.bincount(y[:seen], minlength=2) for seen in range(40)]
        np.testing.assert_array_equal(found, [count.argmax() == label for count, label in zip(counts, y, strict=True)])


def test_episodes_in_batches_are_the_same_episodes(data):
    done, own, sgd = [], trial(5, 12), RIVALS[1]._replace(rates=(0.01, 0.1))
    together, batched = own.run(sgd, 5), own.run(sgd, 2, done.append)
    np.testing.assert_array_equal(together, batched)
    assert together.shape == (2, 5, 12) and done == [2, 2, 1]
    assert together.mean() > 0.5, "a baseline learns this"


def test_with_random_features_a_linear_learner_learns_what_it_could_not(data):
    x = np.random.default_rng(1).normal(size=(300, 2))
    np.savez(data, x=x, y=np.prod(x, axis=1) > 0)
    sgd = RIVALS[1]._replace(rates=(0.01, 0.1, 1.0))
    alone, widened = (trial(4, 300, count).run(sgd, 4)[:, :, 150:].mean((1, 2)).max() for count in (0, 64))
    assert alone < 0.65 and widened > 0.8


SET: Any = load_wine()
WINE, KINDS = SET.data, SET.target
NAMES = np.array(["red", "rosé", "white"])[KINDS]
TABLE = pandas.DataFrame(WINE).rename(columns=str).assign(species=NAMES)
UNLABELLED = TABLE.assign(y=TABLE.species.where(KINDS > 0))
FORMS = {  # ways to store the same examples, each with what is read
    "pair of X and y": lambda: np.savez("w.npz", X=WINE, y=NAMES) or ["w.npz"],
    "scikit-learn's names": lambda: np.savez("w.npz", data=WINE, target=KINDS) or ["w.npz"],
    "two arrays": lambda: np.save("x.npy", WINE) or np.save("y.npy", NAMES) or ["x.npy", "y.npy"],
    "scikit-learn": lambda: ["sklearn:wine"],
    "csv": lambda: TABLE.to_csv("w.csv", index=False) or ["w.csv"],
    "csv with an index": lambda: TABLE.to_csv("w.csv") or ["w.csv"],
    "csv whose names are numbers": lambda: (
        TABLE.set_axis([*range(2000, 2013), "species"], axis=1).to_csv("w.csv", index=False) or ["w.csv"]
    ),
    "csv without names": lambda: TABLE.to_csv("w.csv", index=False, header=False) or ["w.csv"],
    "csv of Europe, labels first": lambda: TABLE.set_index("species").to_csv("w.csv", sep=";") or ["w.csv", "species"],
    "parquet": lambda: TABLE.rename(columns={"species": "Class"}).to_parquet("w.parquet") or ["w.parquet"],
}


@pytest.mark.parametrize("form", FORMS)
def test_data_are_read_in_the_forms_that_people_have(form, data):
    found = read_examples(*FORMS[form]())
    np.testing.assert_allclose(found.x, (WINE - WINE.mean(0)) / WINE.std(0), atol=1e-3)
    np.testing.assert_array_equal(found.y, KINDS)
    plain = {"scikit-learn's names": ("0", "1", "2"), "scikit-learn": ("class_0", "class_1", "class_2")}
    assert found.names == plain.get(form, ("red", "rosé", "white"))


UNREADABLE = {  # what is stored, what is asked for, and the sentence
    "no labels": (lambda: np.save("x.npy", WINE), "x.npy", "has no labels beside the examples: name their file"),
    "no npy": (lambda: TABLE.to_csv("x.npy"), "x.npy --labels x.npy", "x.npy is not an npy file of a plain array"),
    "unknown column": (lambda: TABLE.to_csv("w.csv"), "w.csv --labels kind", "'kind' is none of the columns of the"),
    "text": (lambda: TABLE.assign(y=KINDS).to_csv("w.csv"), "w.csv", "the columns ['species'] have no numbers"),
    "no label": (lambda: UNLABELLED.to_csv("w.csv"), "w.csv", "59 examples have no label in 'y': remove them."),
    "the folder here": (lambda: None, ".", "'.' is a folder, a device or a pipe: name a file."),
    "no word": (lambda: None, "''", "'.' is a folder, a device or a pipe: name a file."),
    "folder": (lambda: Path("w.parquet").mkdir(), "w.parquet", "'w.parquet' is a folder, a device or a pipe"),
    "device": (lambda: None, "/dev/zero", "'/dev/zero' is a folder, a device or a pipe: name a file."),
    "pipe": (lambda: os.mkfifo("x.csv"), "x.csv", "'x.csv' is a folder, a device or a pipe: name a file."),
    "labels of a folder": (lambda: np.save("x.npy", WINE), "x.npy --labels .", "'.' is a folder, a device or a pipe"),
    "not there": (lambda: None, "w.parquet", "w.parquet cannot be opened: No such file or directory."),
    "empty": (lambda: Path("w.csv").touch(), "w.csv", "w.csv is not a table that pandas can read"),
    "no parquet": (lambda: TABLE.to_csv("w.parquet"), "w.parquet", "w.parquet is not a table that pandas can read"),
    "unknown set": (lambda: None, "sklearn:vine", "'vine' is none of the sets of scikit-learn ['breast_cancer', "),
    "regression": (lambda: None, "sklearn:diabetes", "y has 214 labels for 442 examples, it must"),
    "needless labels": (lambda: None, "sklearn:wine --labels y.npy", "--labels (='y.npy') is for npy files and"),
}


@pytest.mark.parametrize("case", UNREADABLE)
def test_data_that_cannot_be_read_are_refused_in_one_sentence(case, data, capsys):
    store, words, sentence = UNREADABLE[case]
    store()
    assert sentence in refusal(["--rule", "digits", "--data", *shlex.split(words)], capsys)


def test_labels_are_numbered_and_features_standardised(data):
    np.testing.assert_array_equal(read_examples(str(data)).y, Y)
    np.savez(data, x=X * 1e6 + 1e9, y=np.where(Y, "yes", "no"))
    examples = read_examples(str(data))
    np.testing.assert_array_equal(examples.y, Y)
    assert examples.x.shape == (40, 6) and examples.names == ("no", "yes")
    np.testing.assert_allclose(np.std(examples.x, axis=0), 1, rtol=1e-3)


def spoiled(value):
    x = X.copy()
    x[5, 1, 0] = x[7, 0, 0] = value
    return x


BAD = {
    "no x": ({"images": X, "y": Y}, "my.npz has the arrays ['images', 'y'], it must have x and y or X and y or"),
    "no y": ({"x": X}, "has the arrays ['x'], it must have x and y"),
    "objects": ({"x": X, "y": Y.astype(object)}, "as by y=y.astype(str)."),
    "object x": ({"x": X.astype(object), "y": Y}, "x holds Python objects, it must be plain numbers or strings"),
    "text": ({"x": X.astype(str), "y": Y}, "x has the dtype <U32, it must be of real numbers: convert"),
    "complex": ({"x": X.astype(complex), "y": Y}, "x has the dtype complex128"),
    "nan": ({"x": spoiled(np.nan), "y": Y}, "x has NaN, infinite or too large values in 2 of 40 examples, the first"),
    "infinite": ({"x": spoiled(-np.inf), "y": Y}, "too large values in 2 of 40 examples, the first of them x[5]"),
    "too large": ({"x": spoiled(1e300), "y": Y}, "too large values in 2 of 40 examples, the first of them x[5]"),
    "flat": ({"x": X[:, 0, 0], "y": Y}, "x has the shape (40,), it must be [n, …]"),
    "empty": ({"x": X[:0], "y": Y[:0]}, "x has the shape (0, 2, 3)"),
    "no features": ({"x": X[:, :0], "y": Y}, "x has the shape (40, 0, 3)"),
    "one-hot": ({"x": X, "y": np.eye(2)[Y]}, "one label an example: take y.argmax(1)."),
    "a column": ({"x": X, "y": Y[:, None]}, "one label an example: take y.ravel()."),
    "a row": ({"x": X, "y": Y[None]}, "one label an example: take y.ravel()."),
    "several labels": ({"x": X, "y": np.ones((40, 3), int)}, "one label an example: give each one label."),
    "fractions": ({"x": X, "y": Y + 0.5}, "y has fractions or NaN, as 1.5: a rule learns classes"),
    "dates": ({"x": X, "y": Y.astype("datetime64[D]")}, "as by y.astype(str)."),
    "examples last": ({"x": X.transpose(1, 2, 0), "y": Y}, "examples must come first: take np.moveaxis(x, -1, 0)."),
    "mismatch": ({"x": X, "y": Y[:39]}, "x has 40 examples but y has 39 labels"),
    "one class": ({"x": X, "y": np.full(40, "cat")}, "y has the one label 'cat' only, there must be at least 2"),
}  # fmt: skip


@pytest.mark.parametrize("arrays, sentence", BAD.values(), ids=BAD)
def test_bad_data_is_refused_in_one_sentence(rule, data, capsys, arrays, sentence):
    np.savez(data, **arrays)
    assert sentence in refusal(["--rule", rule, "--data", data], capsys)


def _zipped(path, **members):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)


def _npy(array, shape):
    """The bytes of an array whose header says another shape."""
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, np.lib.format.header_data_from_array_1_0(array) | {"shape": shape})
    return file.getvalue() + array.tobytes()


def test_a_file_that_is_no_npz_is_refused(rule, data, capsys):
    def said(content=None):
        if content is not None:
            data.write_bytes(content)
        return refusal(["--rule", rule, "--data", data], capsys)

    whole = data.read_bytes()
    again = "is no npz file, or but a part of one, it must be an npz file: save it with np.savez('my.npz'"
    for content in (b"", b"x,y\n1,2\n", whole[:-100]):
        assert again in said(content)
    np.savez_compressed(data, x=X, y=Y)
    for content in (whole, data.read_bytes()):  # its own bytes, or a stream of zlib, are not what was written
        assert "my.npz is damaged (" in said(content[:300] + bytes(40) + content[340:])
    with data.open("wb") as file:
        np.save(file, X)
    assert "is a single array, it must be an npz file" in said()
    _zipped(data, x=b"1,2,3\n4,5,6\n", y=b"0\n1\n")
    assert "x is no array of numpy, though it lies in a zip: save it with np.savez('my.npz', x=x, y=y)." in said()
    _zipped(data, x=_npy(X, (40, 2, 10**12)), y=_npy(Y, (40,)))
    assert "needs at least 5.96e+05 GiB of memory" in said()
    _zipped(data, x=_npy(X, (40, 2, 4)), y=_npy(Y, (40,)))
    assert "my.npz is damaged (" in said()
    data.unlink()
    assert "my.npz cannot be opened: No such file" in said()
    data.mkdir()
    assert "my.npz' is a folder, a device or a pipe: name a file." in said()


def test_a_file_that_is_no_rule_is_refused(rule, data, tmp_path, capsys):
    def said(file):
        return refusal(["--rule", file, "--data", data], capsys)

    other = tmp_path / "other.npz"
    assert (
        "other.npz' is neither a file nor one of the rules that ship and classify, ['digits', 'mnist']: name one."
        in said(other)
    )
    assert "is not a learned rule" in said(data)
    other.write_text("theta")
    assert "other.npz" in said(other)
    _zipped(other, **{"theta/w": _npy(np.zeros(4), (10**13,))})
    assert "other.npz needs at least 7.45e+04 GiB" in said(other)
    write_rule(other, {"w": np.zeros(3)}, {"units": 3}, {"experiment": "of another kind"})
    assert "The rule has the settings {'units': 3}, which this version" in said(other)
    assert "The rule is of the kind 'recall': use one" in said(paths.ROOT / "vsml/zoo/recall_direct.npz")
    for name in ("theta/head_fwd", "theta/gates_bias"):
        arrays = dict(np.load(rule))
        arrays[name] = arrays[name][:1]
        write_arrays(other, arrays)
        assert "meta-train it again" in said(other)


def test_what_asks_for_too_much_is_refused(rule, data, capsys, monkeypatch):
    words = ["--rule", rule, "--data", data]
    sentence = refusal([*words, "--length", 41], capsys)
    assert sentence == "--length (=41) must be at most the number of examples (=40): lower it."
    free = psutil.virtual_memory()._replace(available=3000)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: free)
    sentence = refusal(words, capsys)
    assert "6 features and 2 classes need about" in sentence and "make the examples smaller" in sentence


def test_an_array_that_asks_for_terabytes_is_refused(tmp_path):
    with (tmp_path / "huge.npy").open("wb") as file:
        header = {"descr": "<f8", "fortran_order": False, "shape": (10**12, 10)}
        np.lib.format.write_array_header_1_0(file, header)
    with pytest.raises(ValueError, match=r"huge\.npy asks for more memory than there is \(Unable to allocate"):
        read_examples(str(tmp_path / "huge.npy"), "unused.npy")
