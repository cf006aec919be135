"""Claims from the file to the verdict: what is read and refused, and what tables make of it."""

import json
import math
import shutil

import numpy as np
import pytest
import scipy.stats
from ruamel.yaml import YAML

from pipeline.run import paths
from pipeline.run.artifacts import read_table, write_table
from pipeline.show import figures
from pipeline.show.intervals import Interval, interval
from pipeline.studies import claims, params
from pipeline.studies.learning import ranking as comparison
from pipeline.studies.learning.claims import Made
from pipeline.studies.learning.measures import over_fitting, results
from pipeline.studies.learning.tables import Profile
from pipeline.studies.report import MEASURES, TABLES


@pytest.fixture
def write(tmp_path):
    """Write the claims with a change to the first one, `vsml-unifies`, and get the path."""

    def to(change):
        tree = YAML(typ="safe", pure=True).load(paths.CLAIMS)
        change(tree["papers"]["vsml"]["claims"]["vsml-unifies"])
        path = tmp_path / "claims.yaml"
        path.write_text(json.dumps(tree))
        return path

    return to


def _read():
    return claims.read(MEASURES)


def test_every_claim_says_where_it_is_from_and_what_tests_it():
    papers = _read().papers
    assert list(papers) == ["vsml", "feedback", "remember"] and all(paper.claims for paper in papers.values())
    reported = [claim for paper in papers.values() for claim in paper.claims.values() if claim.reported]
    assert reported and all(claim.sure not in claims.SURELY for claim in reported)
    assert [name for name, claim in papers["vsml"].claims.items() if not claim.tests] == ["vsml-limits"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda claim: claim.update(colour="red"), r"vsml-unifies\.colour \(='red'\) is unknown"),
        (lambda claim: claim.pop("sure"), r"vsml-unifies\.sure is missing"),
        (lambda claim: claim.update(sure="hoped"), r"vsml-unifies\.sure \(='hoped'\) is wrong"),
        (lambda claim: claim["tests"][0].update(margin=0.0), r"margin \(=0\.0\) is wrong"),
        (lambda claim: claim["tests"][0].update(measure="beauty"), "'beauty' found using 'measure' does not match"),
        (lambda claim: claim["tests"][0].pop("of"), r"tests\.0\.deviation\.of is missing"),
        (lambda claim: claim["tests"][0].update(hue=3), r"tests\.0\.deviation\.hue \(=3\) is unknown"),
        (lambda claim: claim["tests"][0].update(of=["instance", "god"]), r"deviation\.of\.1 \(='god'\) is wrong"),
        (lambda claim: claim["tests"][0].update(method=[]), r"deviation\.method\.0 \(=\[\]\) is wrong"),
        (lambda claim: claim["tests"][0].update(margin=[0.1, 0.2]), r"margin \(=\[0\.1, 0\.2\]\) is wrong"),
        (lambda claim: claim.update(tests=[]), "must have either tests or `untested`"),
        (lambda claim: claim.update(untested="no time"), "must have either tests or `untested`"),
        (lambda claim: claim.update(reported="99 %"), r"surely known values \(='99 %'\)"),
    ],
)
def test_a_malformed_claim_is_named(write, change, words):
    with pytest.raises(ValueError, match=words):
        claims.read(MEASURES, write(change))


def test_ids_are_unique_over_all_papers(tmp_path):
    text = paths.CLAIMS.read_text(encoding="utf-8")
    (path := tmp_path / "claims.yaml").write_text(text.replace("vsml-robust:", "vsml-unifies:"), encoding="utf-8")
    with pytest.raises(ValueError, match='duplicate key "vsml-unifies"'):
        claims.read(MEASURES, path)
    path.write_text(text.replace("remember-snippets:", "vsml-unifies:"), encoding="utf-8")
    with pytest.raises(ValueError, match=r"The id 'vsml-unifies' must begin with its paper's name, 'remember-'"):
        claims.read(MEASURES, path)


def test_an_argument_that_lists_values_stands_for_a_test_of_each():
    claimed = _read().papers["vsml"].claims
    (association,) = claimed["vsml-fast-association"].tests
    assert (association.measure, association.expect, association.margin) == ("association", "superior", 0.05)
    assert list(association.arguments()) == [
        {"of": what, "age": age, "against": rival}
        for what in ("gain_own", "told_apart")
        for age in ("initial", "later")
        for rival in ("sgd_paper", "adam_paper")
    ]
    (changed,) = claimed["vsml-robust"].tests
    assert list(changed.arguments()) == [{}]
    (forgetting, _) = _read().papers["feedback"].claims["feedback-continual"].tests
    expected = {"score": "forgetting", "of": "flp", "against": None, "task": "sines"}
    assert list(forgetting.arguments()) == [expected], "an argument that is left out has its default"


@pytest.mark.parametrize(
    ("expect", "low", "mean", "high", "verdict"),
    [
        ("superior", 0.01, 0.1, 0.2, "reproduced"),
        ("superior", -0.01, 0.1, 0.2, "consistent"),
        ("superior", 0.01, 0.04, 0.2, "consistent"),  # clear, and smaller than matters
        ("superior", 0.01, 0.02, 0.04, "not reproduced"),
        ("superior", -0.2, -0.01, 0.1, "underpowered"),
        ("superior", -0.2, -0.1, 0.04, "not reproduced"),
        ("equivalent", -0.04, 0.0, 0.04, "reproduced"),
        ("equivalent", -0.1, 0.0, 0.04, "consistent"),
        ("equivalent", -0.04, 0.0, 0.06, "consistent"),
        ("equivalent", -0.04, 0.0, 0.05, "consistent"),  # the margin itself is too much
        ("equivalent", -0.04, 0.06, 0.1, "underpowered"),
        ("equivalent", 0.04, 0.06, 0.1, "underpowered"),
        ("equivalent", -0.1, -0.06, 0.04, "underpowered"),
        ("equivalent", 0.06, 0.07, 0.2, "not reproduced"),
        ("equivalent", -0.2, -0.1, -0.06, "not reproduced"),
        ("not_worse", -0.04, 0.3, 0.6, "reproduced"),
        ("not_worse", -0.06, 0.0, 0.6, "consistent"),
        ("not_worse", -0.3, -0.06, 0.0, "underpowered"),
        ("not_worse", -0.3, -0.1, -0.06, "not reproduced"),
        ("superior", -math.inf, 0.5, math.inf, "consistent"),
        ("superior", -math.inf, -0.5, math.inf, "underpowered"),
    ],
)
def test_each_verdict_is_what_the_document_says(expect, low, mean, high, verdict):
    assert claims.verdict(expect, 0.05, Interval(mean, low, high), seeds=3) == verdict
    # Fewer meta-seeds neither reproduce nor refute.
    allowed = {"reproduced": "consistent", "not reproduced": "contrary"}.get(verdict, verdict)
    assert claims.verdict(expect, 0.05, Interval(mean, low, high), seeds=2) == allowed


@pytest.mark.parametrize(
    ("seeds", "episodes", "of_seed", "of_episode"), [(3, 16, 1, 0), (3, 16, 0, 1), (1, 6, 0, 1), (5, 1, 1, 0)]
)
def test_an_interval_covers_the_truth_as_often_as_it_says(seeds, episodes, of_seed, of_episode):
    random = np.random.default_rng(seeds + episodes)
    covered = 0
    for _ in range(repeats := 600):
        luck, ease = of_seed * random.standard_normal((seeds, 1)), of_episode * random.standard_normal((1, episodes))
        found = interval(2 + luck + ease + 0.3 * random.standard_normal((seeds, episodes)), draws=1500)
        covered += found.low < 2 < found.high
    assert 0.92 < covered / repeats < 0.99


def test_an_interval_is_the_same_from_the_same_numbers_and_shrinks_with_more():
    values = np.random.default_rng(0).standard_normal((4, 40))
    assert interval(values) == interval(values)
    few, many = interval(values[:, :10]), interval(np.tile(values, (1, 4)))
    assert few.high - few.low > many.high - many.low
    assert interval(values).mean == pytest.approx(values.mean())
    assert interval(np.array([[0.5]])) == (0.5, -np.inf, np.inf)
    with pytest.raises(ValueError, match="must be finite"):
        interval(np.array([[0.1, np.nan]]))


@pytest.mark.parametrize(
    ("values", "width", "place"),
    [  # of one episode a seed, and of one seed, which is the t of the mean but for the normal distribution's tails
        (np.array([[0.1], [0.4], [0.9], [0.2]]), 0.02, 0.02),
        (np.random.default_rng(0).standard_normal((1, 12)), 0.05, 0.1),
    ],
)
def test_each_part_of_an_interval_alone_is_students_t(values, width, place):
    """Where there is no other part, ends and width are known. Draws of 10^5 are within 2 % of them."""
    low, high = scipy.stats.t.interval(0.95, values.size - 1, values.mean(), scipy.stats.sem(values.ravel()))
    found = interval(values, draws=100_000)
    assert found.high - found.low == pytest.approx(high - low, rel=width)
    assert (found.low, found.high) == pytest.approx((low, high), abs=place * (high - low))


def _judged(found):
    tables, profile = figures.read(TABLES), Profile.of(found)
    made = Made(tables, profile, comparison.early(results(tables, profile)), found.improve.set)
    return {claim["id"]: claim for claim in claims.judge(_read(), MEASURES, made)}


def test_verdicts_follow_from_the_tables(enter):
    found = enter("default")
    judged = _judged(found)
    assert judged["vsml-faster"]["verdict"] == "reproduced"
    (first, *_) = judged["vsml-faster"]["effects"]
    # 0.01 * 784 / 64 is 0.12, and 0.03 the nearest of the grid
    assert first["label"] == "Digits, after 100 examples: VSML less SGD at the paper\u2019s rate for 64 inputs, 0.03"
    assert (first["seeds"], first["episodes"]) == (3, 16) and first["low"] < first["effect"] < first["high"]
    own = np.stack([read_table(paths.meta_test("vsml", seed)).arrays["digits/correct"] for seed in range(3)])
    every = [read_table(paths.baseline(name)).arrays for name in ("sgd", "sgd_hidden")]
    others = [arrays["digits/correct"][np.isclose(arrays["rate"], 0.03)][0, :, :100].mean() for arrays in every]
    assert first["effect"] == pytest.approx(own[..., :100].mean() - max(others)), "of the better depth"

    (unlike,) = judged["vsml-more-than-means"]["effects"]
    mean = read_table(paths.baseline("nearest_mean")).arrays
    theirs, wrong = mean["digits/answer"][0], ~mean["digits/correct"][0]
    shares = []
    for seed in range(3):
        mine = read_table(paths.meta_test("vsml", seed)).arrays
        both = wrong & ~mine["digits/correct"]
        shares.append(((mine["digits/answer"] == theirs) & both).sum(-1) / both.sum(-1))
    assert unlike["effect"] == pytest.approx(0.75 - np.mean(shares)) and unlike["verdict"] == "reproduced"

    elsewhere = judged["vsml-generalises"]["effects"]
    sets = ["Breast cancer", "Iris", "Wine", "Random", "Sum sign"]
    assert [effect["label"].split(",")[0] for effect in elsewhere] == sets
    assert elsewhere[1]["label"].startswith("Iris, at the end of the episode: VSML less the best of constant memory, ")
    own = np.stack([read_table(paths.meta_test("vsml", seed)).arrays["iris/correct"] for seed in range(3)])
    every = [read_table(paths.baseline(name)).arrays for name in found.items.baselines if name != "nearest_neighbour"]
    best = max(arrays["iris/correct"].mean((1, 2)).max() for arrays in every)
    assert elsewhere[1]["effect"] == pytest.approx(own.mean() - best)
    instances = [one for one in judged["vsml-unifies"]["effects"] if "deviation of the instance" in one["label"]]
    assert [one["verdict"] for one in instances] == ["reproduced"] * 6 and len(judged["vsml-unifies"]["effects"]) == 12
    assert [one["effect"] for one in judged["vsml-differs"]["effects"]] == pytest.approx([0.7, 0.1], abs=0.02)
    newborn, *_, later = judged["vsml-fast-association-tuned"]["effects"][:6]
    assert newborn["effect"] == pytest.approx(0.4 - 0.2, abs=0.01) and later["effect"] == pytest.approx(0.35, abs=0.01)
    told_apart = judged["vsml-fast-association-tuned"]["effects"][6:]
    assert [one["effect"] for one in told_apart] == [0] * 6, "the wrong label stays with the image, of all learners"
    assert judged["vsml-fast-association"]["verdict"] == "not run", "no paper's rates for 8x8 pixels"
    assert len(judged["vsml-associates"]["effects"]) == 1
    clone = judged["vsml-improves-clone"]
    assert clone["effects"][0]["effect"] == pytest.approx(0.2, abs=0.05)
    assert clone["verdict"] == "consistent", "one meta-seed proves nothing"
    for name in ("vsml-robust", "vsml-meta-rnn-overfits", "vsml-clone-transfers"):
        assert (judged[name]["verdict"], judged[name]["effects"]) == ("not run", [])
        assert "this profile has no such task" in judged[name]["because"]
    assert judged["remember-difficulty"]["because"].startswith("The abstract says that this is analysed")
    regression = judged["feedback-regression"]
    tables = {
        name: table.arrays["loss"][0, :, -1] for name, table in figures.read(("feedback_test/*_sines-*",)).items()
    }
    learners = ("flp", "first_order", "second_order")
    flp, first, second = (np.mean([tables[f"feedback_test/{n}_on_sines-{s}.npz"] for s in range(3)]) for n in learners)
    expected = [1 - flp / first, 1 - flp / second]  # as shares of the rival's
    assert [one["effect"] for one in regression["effects"]] == pytest.approx(expected, abs=1e-6)
    assert regression["verdict"] == "reproduced", "a fifth more than second order is within a quarter"
    assert judged["feedback-continual"]["verdict"] == "not reproduced", "no better than second order on glyphs"
    recalled = judged["remember-snippets"]["effects"]
    assert [one["label"] for one in recalled] == [f"Last {d}: Direct less 0.5" for d in (2, 4, 8, 16)]
    assert judged["remember-short-term"]["verdict"] == "not run"


def test_changed_tasks_and_mixes_are_judged_where_they_were_run(enter):
    found = enter("mnist")
    judged = _judged(found)
    robust = {effect["label"]: effect for effect in judged["vsml-robust"]["effects"]}
    assert len(robust) == 10
    smaller = robust["MNIST, beyond chance: 21\u00d721 pixels less unchanged"]["verdict"]
    assert judged["vsml-robust"]["verdict"] == smaller == "not reproduced"
    assert robust["MNIST, beyond chance: 48\u00d748 pixels less unchanged"]["verdict"] == "reproduced"
    of_seeds = [read_table(paths.meta_test("vsml", seed)).arrays for seed in range(4)]
    fewer, all_ten = (np.mean([own[f"mnist_{what}/correct"] for own in of_seeds]) for what in ("classes", "unchanged"))
    lead = (fewer - 0.2) / 0.8 - (all_ten - 0.1) / 0.9
    assert robust["MNIST, beyond chance: five classes less unchanged"]["effect"] == pytest.approx(lead)
    faster = judged["vsml-faster"]["effects"][0]["label"]
    assert faster.endswith("VSML less SGD at the paper\u2019s rate"), "for which it was made"
    assert len(judged["vsml-fast-association"]["effects"]) == 12
    assert judged["vsml-meta-rnn-overfits"]["verdict"] == "reproduced"
    (gap,) = judged["vsml-meta-rnn-overfits"]["effects"]
    means = over_fitting(figures.read(TABLES), Profile.of(found))
    lead = means["meta_rnn"]["gap"]["value"] - means["vsml"]["gap"]["value"]
    assert gap["effect"] == pytest.approx(lead, abs=1e-6)
    assert [effect["verdict"] for effect in judged["vsml-generalises-best"]["effects"]] == ["reproduced"] * 3


def test_a_rule_that_learns_nothing_reproduces_nothing(enter, folders, tmp_path, monkeypatch):
    """The same tables, but for a rule that answers at random."""
    shutil.copytree(folders["default"], tmp_path / "poor")
    monkeypatch.chdir(tmp_path / "poor")
    found = params.read()
    random = np.random.default_rng(0)
    for seed in found.items.seeds:
        arrays, axes = read_table(paths.meta_test("vsml", seed))
        poor = {name: random.random(array.shape) < 0.1 for name, array in arrays.items() if name != "snapshot"}
        write_table(paths.meta_test("vsml", seed), arrays | poor, axes)
    judged = _judged(found)
    for name in ("vsml-faster", "vsml-faster-tuned", "vsml-generalises", "vsml-faster-elsewhere"):
        assert judged[name]["verdict"] == "not reproduced"
    assert judged["vsml-shared-rnn"]["verdict"] == "reproduced"


def test_a_claim_of_which_a_part_was_not_run_is_not_reproduced(enter, monkeypatch):
    found = enter("default")
    tables, profile = figures.read(TABLES), Profile.of(found)
    without = {name: table for name, table in tables.items() if not name.startswith("baseline/adam")}
    made = Made(without, profile, 100, "digits")
    (judged,) = [claim for claim in claims.judge(_read(), MEASURES, made) if claim["id"] == "vsml-faster"]
    assert (judged["verdict"], judged["because"].split(":")[0]) == ("consistent", "1 of its 2 tests did not run")
