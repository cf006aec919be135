"""A learned rule on a user's data: what is printed and drawn, and one clear sentence for everything that is wrong."""

import io
import os
import re
import subprocess
import sys
import zipfile
from functools import partial

import jax
import numpy as np
import psutil
import pytest

from pipeline.run import paths
from pipeline.run.artifacts import write_arrays, write_rule
from pipeline.studies.learning import evaluate
from pipeline.studies.learning.evaluate import read_examples
from vsml.learners.network import network

LEARNER = {
    "hidden": 4,
    "message": 2,
    "ticks": 1,
    "backward_pass": True,
    "feed_label": True,
    "layer_norm": True,
    "per_layer": False,
}
X = np.random.default_rng(0).normal(size=(40, 2, 3))
Y = (X[:, 0, 0] > 0).astype(int)


@pytest.fixture(scope="module")
def rule(tmp_path_factory):
    path = tmp_path_factory.mktemp("rule") / "rule.npz"
    theta = jax.jit(network((3, 2), **LEARNER).init_theta)(jax.random.key(0))
    write_rule(
        path, theta, LEARNER | {"name": "vsml", "convolutions": [], "hidden_layers": []}, {"experiment": "untrained"}
    )
    return path


def refusal(args, capsys):
    """The one sentence on stderr with which `args` are refused."""
    with pytest.raises(SystemExit) as stop:
        evaluate.main([str(arg) for arg in args])
    out, err = capsys.readouterr()
    assert stop.value.code == 2 and out == ""
    assert err.startswith("evaluate: ") and err.endswith(".\n") and err.count("\n") == 1
    return err.removeprefix("evaluate: ").strip()


def test_the_command_prints_a_table_and_draws_the_curves(rule, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    np.savez("my.npz", x=X, y=np.where(Y, "yes", "no"))
    words = ["--rule", str(rule), "--data", "my.npz", "--episodes", "3", "--length", "32", "--out", "o/my.png"]
    run = [sys.executable, "-m", "pipeline", "evaluate", *words]
    own = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}  # jax set it, here
    done = subprocess.run(run, capture_output=True, text=True, timeout=120, env=own)
    assert (done.returncode, done.stderr) == (0, "")
    assert "my.npz: 40 examples, 6 features, 2 classes." in done.stdout
    assert "standardised by its mean and standard deviation over all examples" in done.stdout
    assert "chosen in hindsight" in done.stdout
    rows = [line.split()[0] for line in done.stdout.splitlines() if re.match(r" *\d+  .*±", line)]
    assert rows == ["10", "30", "32"]
    curves = (tmp_path / "o/my.png").read_bytes()
    assert curves.startswith(b"\x89PNG")
    assert "environment" not in done.stdout
    other = subprocess.run(run, capture_output=True, text=True, timeout=120, env=own | {"JAX_ENABLE_X64": "1"})
    assert "Set in this environment, which may change numbers: JAX_ENABLE_X64=1.\n" in other.stdout

    evaluate.main(words)
    assert capsys.readouterr().out == done.stdout and (tmp_path / "o/my.png").read_bytes() == curves
    evaluate.main([*words, "--random-features", "5"])
    widened = capsys.readouterr().out
    assert "All learners see 5 random features beside these.\n" in widened
    assert widened.split("unseen.")[1] != done.stdout.split("unseen.")[1]
    evaluate.main([*words, "--seed", "1"])
    assert capsys.readouterr().out.split("seed 1")[1] != done.stdout.split("seed 0")[1]


def test_the_command_refuses_with_status_2(rule):
    run = [sys.executable, "-m", "pipeline", "evaluate", "--rule", str(rule), "--data", "my.npz"]
    done = subprocess.run(run, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "evaluate: my.npz cannot be opened: No such file or directory.\n"


def test_the_table_is_that_of_the_lives():
    outcomes = {"vsml": np.zeros((1, 2, 20), bool)}
    for name, rate in evaluate.PAPER_RATES.items():
        outcomes[name] = np.zeros((len(evaluate.RATES), 2, 20), bool)
        outcomes[name][evaluate.RATES.index(rate), 0, :5] = True  # 5 of 10, then of 20, in one episode of two
        outcomes[name][0, :, 10:] = True  # the slowest is the best in the end
    ten, twenty = evaluate.table(outcomes, 20).splitlines()[1:]
    assert re.split(r"\s{2,}", ten.strip())[1:] == ["0.000 ± 0.000"] + [
        cell for rate in ("0.01", "0.001") for cell in ("0.250 ± 0.354", f"0.250 ± 0.354 ({rate})")
    ]
    assert (
        re.split(r"\s{2,}", twenty.strip())[1:] == ["0.000 ± 0.000"] + ["0.125 ± 0.177", "0.500 ± 0.000 (0.0001)"] * 2
    )


def test_lives_in_batches_are_the_same_lives(rule, tmp_path):
    np.savez(tmp_path / "my.npz", x=X, y=Y)
    examples = read_examples(tmp_path / "my.npz")
    keys = jax.random.split(jax.random.key(0), 5)
    sgd = partial(evaluate.baseline, "sgd", examples, 0)
    together, batched = (evaluate.run(sgd, (), evaluate.RATES, examples, keys, 12, at_once) for at_once in (5, 2))
    np.testing.assert_array_equal(together, batched)
    assert together.shape == (len(evaluate.RATES), 5, 12)
    assert together.mean() > 0.5, "a baseline learns this"


def test_with_random_features_a_linear_learner_learns_what_it_could_not(tmp_path):
    x = np.random.default_rng(1).normal(size=(300, 2))
    np.savez(tmp_path / "my.npz", x=x, y=np.prod(x, axis=1) > 0)
    examples, keys = read_examples(tmp_path / "my.npz"), jax.random.split(jax.random.key(0), 4)
    learners = (partial(evaluate.baseline, "sgd", examples, count) for count in (0, 64))
    every = (evaluate.run(sgd, (), evaluate.RATES, examples, keys, 300, 4) for sgd in learners)
    late = [found[:, :, 150:].mean((1, 2)).max() for found in every]
    assert late[0] < 0.65 and late[1] > 0.8


def test_labels_are_numbered_and_features_standardised(tmp_path):
    np.savez(tmp_path / "my.npz", x=X * 1e6 + 1e9, y=np.where(Y, "yes", "no"))
    examples = read_examples(tmp_path / "my.npz")
    np.testing.assert_array_equal(examples.y, Y)
    assert examples.x.shape == (40, 6) and examples.classes == 2
    np.testing.assert_allclose(np.std(examples.x, axis=0), 1, rtol=1e-3)
    np.savez(tmp_path / "my.npz", x=X, y=Y * 7 - 3)
    np.testing.assert_array_equal(read_examples(tmp_path / "my.npz").y, Y)


def spoiled(value):
    x = X.copy()
    x[5, 1, 0] = x[7, 0, 0] = value
    return x


BAD = {
    "no x": ({"images": X, "y": Y}, "my.npz has the arrays ['images', 'y'], it must have x and y: save it with"),
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
    "float labels": ({"x": X, "y": Y.astype(float)}, "y has the dtype float64, labels must be integers"),
    "fractions": ({"x": X, "y": Y + 0.5}, "y has fractions or NaN, as 1.5: a rule learns classes"),
    "whole floats": ({"x": X, "y": Y.astype(float)}, "convert it, as by y.astype(int)."),
    "dates": ({"x": X, "y": Y.astype("datetime64[D]")}, "as by y.astype(str)."),
    "examples last": ({"x": X.transpose(1, 2, 0), "y": Y}, "examples must come first: take np.moveaxis(x, -1, 0)."),
    "mismatch": ({"x": X, "y": Y[:39]}, "x has 40 examples but y has 39 labels"),
    "one class": ({"x": X, "y": np.full(40, "cat")}, "y has the one label 'cat' only, there must be at least 2"),
}  # fmt: skip


@pytest.mark.parametrize("arrays, sentence", BAD.values(), ids=BAD)
def test_bad_data_is_refused_in_one_sentence(rule, tmp_path, capsys, arrays, sentence):
    np.savez(tmp_path / "my.npz", **arrays)
    assert sentence in refusal(["--rule", rule, "--data", tmp_path / "my.npz"], capsys)


def _zipped(path, compression=zipfile.ZIP_STORED, **members):
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)


def _npy(array, shape):
    """The bytes of an array whose header says another shape."""
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, np.lib.format.header_data_from_array_1_0(array) | {"shape": shape})
    return file.getvalue() + array.tobytes()


def test_a_file_that_is_no_npz_is_refused(rule, tmp_path, capsys):
    data = tmp_path / "my.npz"

    def said(content=None):
        if content is not None:
            data.write_bytes(content)
        return refusal(["--rule", rule, "--data", data], capsys)

    assert "my.npz cannot be opened: No such file" in said()
    assert "cannot be opened: Is a directory" in refusal(["--rule", rule, "--data", tmp_path], capsys)
    np.savez(data, x=X, y=Y)
    whole = data.read_bytes()
    for content in (b"", b"x,y\n1,2\n", whole[:-100]):
        assert "is no npz file, or but a part of one, it must be an npz file: save it with np.savez('my.npz'" in said(
            content
        )
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


def test_a_rule_of_a_size_that_no_memory_holds_is_refused(rule, tmp_path, capsys):
    np.savez(tmp_path / "my.npz", x=X, y=Y)
    other = tmp_path / "other.npz"
    _zipped(other, **{"theta/w": _npy(np.zeros(4), (10**13,))})
    assert "other.npz needs at least 7.45e+04 GiB" in refusal(["--rule", other, "--data", tmp_path / "my.npz"], capsys)


def test_a_file_that_is_no_rule_is_refused(rule, tmp_path, capsys):
    data, other = tmp_path / "my.npz", tmp_path / "other.npz"
    np.savez(data, x=X, y=Y)
    assert "other.npz is missing" in refusal(["--rule", other, "--data", data], capsys)
    assert "is not a learned rule" in refusal(["--rule", data, "--data", data], capsys)
    other.write_text("theta")
    assert "other.npz" in refusal(["--rule", other, "--data", data], capsys)
    write_rule(other, {"w": np.zeros(3)}, {"units": 3}, {"experiment": "of another kind"})
    assert "The rule has the settings {'units': 3}, which this version" in refusal(
        ["--rule", other, "--data", data], capsys
    )
    remembers = paths.ROOT / "vsml/zoo/recall_direct.npz"
    assert "The rule is of the kind 'recall': use one" in refusal(["--rule", remembers, "--data", data], capsys)
    for name in ("theta/head_fwd", "theta/gates_bias"):
        arrays = dict(np.load(rule))
        arrays[name] = arrays[name][:1]
        write_arrays(other, arrays)
        assert "meta-train it again" in refusal(["--rule", other, "--data", data], capsys)


def test_a_life_cannot_be_longer_than_the_data(rule, tmp_path, capsys):
    np.savez(tmp_path / "my.npz", x=X, y=Y)
    sentence = refusal(["--rule", rule, "--data", tmp_path / "my.npz", "--length", 41], capsys)
    assert sentence == "--length (=41) must be at most the number of examples (=40): lower it."


def test_data_that_no_memory_can_hold_is_refused(rule, tmp_path, capsys, monkeypatch):
    np.savez(tmp_path / "my.npz", x=X, y=Y)
    free = psutil.virtual_memory()._replace(available=3000)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: free)
    sentence = refusal(["--rule", rule, "--data", tmp_path / "my.npz"], capsys)
    assert "6 features and 2 classes need about" in sentence and "make the examples smaller" in sentence


@pytest.mark.parametrize(
    "option, sentence",
    [
        (["--episodes", "0"], "argument --episodes: '0' must be a whole number from 1 on."),
        (["--length", "ten"], "argument --length: 'ten' must be a whole number from 2 on."),
        (["--seed", "-1"], "argument --seed: '-1' must be a whole number from 0 on."),
        (["--out", "curves.gif"], "argument --out: 'curves.gif' must end in .png or .pdf."),
    ],
)
def test_bad_options_are_refused(rule, capsys, option, sentence):
    with pytest.raises(SystemExit) as stop:
        evaluate.main(["--rule", str(rule), "--data", "my.npz", *option])
    assert stop.value.code == 2 and sentence in capsys.readouterr().err
