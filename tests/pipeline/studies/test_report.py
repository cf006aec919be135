"""The report as its readers meet it, and the README's block that comes from the same numbers."""

import base64
import contextlib
import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from pipeline.run import job as provenance
from pipeline.run import paths
from pipeline.run.artifacts import read_table, sha256_file
from pipeline.run.flow import Flow
from pipeline.run.params import digest
from pipeline.show import figures
from pipeline.show.measures import parsed
from pipeline.studies import blocks, headline, params, readme, report
from pipeline.studies.learning.tables import Profile
from pipeline.studies.stages import STAGES

VOID = {"meta", "img", "br", "link", "input"}


class Page(HTMLParser):
    """What a page holds: elements in order, with their attributes; and whether its tags are balanced."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.open, self.text = [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)

    def all(self, tag):
        return [attrs for name, attrs in self.elements if name == tag]


def _make_report(draw: bool) -> tuple[str, ...]:
    """Write the report of the profile in this folder, and get the names of its figures.

    Each is a picture of its own that was drawn before: test_figures.py draws them all. With `draw`, each is also made
    of the tables that are here, and not rendered.
    """
    own, picture = params.read(), (paths.ROOT / "docs/figures/online_learning.png").read_bytes()
    for name in own.items.drawn:
        if draw:
            module = figures.module(name)
            module.draw(figures.read(module.NEEDS), Profile.of(own))
        paths.figure(name).parent.mkdir(parents=True, exist_ok=True)
        paths.figure(name).write_bytes(picture + name.encode())
    report.main([])
    return own.items.drawn


@pytest.fixture(scope="module")
def reported(folders):
    for name in ("default", "mnist"):
        with contextlib.chdir(folders[name]):
            _make_report(draw=name != "default")
    return folders


@pytest.fixture
def page(reported, profile):
    return Page(paths.report("index.html").read_text())


def test_every_figure_is_inside_with_words_for_those_who_cannot_see_it(page, items):
    first, *images = page.all("img")  # the first screen has one of them already
    assert first in images and first["alt"] == figures.module("online_learning").ALT.format(tasks="6")
    assert len(images) == len(page.all("figcaption")) == len(items.drawn)
    assert images[0]["alt"] == figures.module("meta_training").ALT
    assert all(len(image["alt"]) > 60 for image in images)
    assert all(image["src"].startswith("data:image/png;base64,iVBOR") for image in images)
    assert "3 meta-seeds with 16 episodes each" in "".join(page.text)
    figures_to_scripts = page.text[page.text.index("Figures") : page.text.index("One episode, example by example")]
    assert not re.search(r"[{}]", "".join(figures_to_scripts))


def test_the_page_is_whole_and_needs_nothing_else(page):
    assert page.open == []
    assert not page.all("link")
    assert [script.keys() & {"src", "href"} for script in page.all("script")] == [set(), set(), set()]
    links = {link["href"] for link in page.all("a")}
    inside = {link.removeprefix("#") for link in links if link.startswith("#")}
    assert inside <= {attrs["id"] for _, attrs in page.elements if "id" in attrs}
    outside = {"https://arxiv.org/abs/" + paper for paper in ("2012.14905", "2006.09549", "2003.03124")}
    assert links - {f"#{name}" for name in inside} == outside
    assert page.all("html")[0]["lang"] == "en"
    assert [len(page.all(tag)) for tag in ("h1", "main", "title")] == [1, 1, 1]


def test_tables_have_captions_and_headers_with_a_scope(page):
    stored = json.loads(paths.report("claims.json").read_text(), parse_constant=pytest.fail)
    judged = stored["claims"]
    assert stored["counts"]["not run"] == sum(claim["verdict"] == "not run" for claim in judged) > 0
    with_effects = sum(bool(claim["effects"]) for claim in judged)
    assert len(page.all("caption")) == len(page.all("table")) == 18 + with_effects
    scopes = [header.get("scope") for header in page.all("th")]
    assert set(scopes) == {"col", "row"}
    # Learners in short, sets at moments, exposures, seeds, ages, cosines, groups, unified methods, networks cloned,
    # improved, shipped, rules that remember and what they are held against, a lone synapse, images, tasks taught.
    rows = 7 + 3 * 6 + 20 + 3 + 15 + 5 + 4 + 9 + 2 + 2 + 6 * 6 + 7 + 4 + 3 + 2
    assert scopes.count("row") == rows + sum(len(claim["effects"]) for claim in judged)


def test_the_lives_in_the_page_are_those_of_the_tables(page, items):
    text = "".join(page.text)
    data = json.loads(text[text.index('{"learners"') :].splitlines()[0])
    table = read_table(paths.introspect("vsml", items.seeds[0])).arrays
    assert [learner["rate"] for learner in data["learners"]] == [None, "0.1", "0.01", "0.01", "0.001"]
    for prefix, reading in zip(("", "next_"), data["readings"], strict=True):
        assert len(reading["label"]) == 2
        for lifetime in range(2):
            packed = np.frombuffer(base64.b64decode(reading["pixels"][lifetime]), np.uint8)
            packed = packed.reshape(-1, *reading["shape"])
            np.testing.assert_array_equal(packed[reading["image"][lifetime]], table[f"{prefix}pixels"][lifetime])
            assert len(packed) == len(set(reading["image"][lifetime])), "an image that comes twice is packed once"
            assert reading["label"][lifetime] == table[f"{prefix}label"][lifetime].tolist()
            for learner in range(5):
                values = np.frombuffer(base64.b64decode(reading["probability"][learner][lifetime]), np.uint8)
                want = table[f"{prefix}probability"][learner, lifetime]
                np.testing.assert_allclose(values.reshape(want.shape) / 255, want, atol=0.51 / 255)


def test_results_are_flat_and_finite_json(reported, profile):
    text = paths.report("results.json").read_text()
    found = json.loads(text, parse_constant=pytest.fail)
    assert {name.count("/") for name in found} == {2}
    episodes = {
        3: ("meta_train/vsml/final_loss",),
        8: ("digits/sgd/gain_same@10", "digits/vsml-2/lost_memory_3_initial", "digits/sgd/first_exposure_accuracy"),
        16: ("iris/zoo_mnist_features/cumulative@150", "wine/adam_hidden/cumulative@178"),
        24: ("digits/vsml/gain_same@10", "digits/vsml/second_exposure_probability"),
        48: ("digits/vsml/cumulative@100",),
    }
    assert all(found[name]["n"] == n for n, names in episodes.items() for name in names)
    assert found["iris/adam_features/cumulative@150"]["rate"] == 0.03
    names = ("sgd", "adam", "sgd_hidden", "adam_hidden")
    for metric, able in (("lead_constant", (*names, "nearest_mean", "ridge", "naive_bayes")), ("lead", names)):
        lead = found[f"iris/zoo_mnist_features/{metric}@150"]
        rivals = {name: found[f"iris/{name}/cumulative@150"]["value"] for name in able}
        assert lead["rival"] == max(rivals, key=rivals.__getitem__)
        ahead = found["iris/zoo_mnist_features/cumulative@150"]["value"] - rivals[lead["rival"]]
        assert lead["value"] == pytest.approx(ahead)
    assert 0 < lead["sd"] < found["iris/zoo_mnist_features/cumulative@150"]["sd"] * 3
    assert found["wine/adam_hidden/cumulative@178"]["rate"] == 0.03


def test_the_metrics_of_a_profile_and_of_its_items_are_those_of_its_results(reported, profile):
    found = json.loads(paths.report("results.json").read_text())
    metrics = json.loads(paths.report("metrics.json").read_text())
    claimed = json.loads(paths.report("claims.json").read_text())
    assert metrics["claims"] == claimed["counts"] and sum(map(len, metrics.values())) < 60
    for task, end in {"digits": 480, "wine": 178, "iris": 150}.items():
        accuracies = {who: found[f"{task}/{who}/cumulative@{end}"]["value"] for who in ("vsml", "sgd")}
        shown = {who: metrics["accuracy"][f"{task}/{who}"] for who in accuracies}
        assert shown == pytest.approx(accuracies, abs=1e-5)
        assert headline.of_item("baseline", ("sgd",))[f"{task}/accuracy"] == shown["sgd"]
        of_seeds = [headline.of_item("meta_test", ("vsml", str(seed)))[f"{task}/accuracy"] for seed in range(3)]
        assert np.mean(of_seeds) == pytest.approx(shown["vsml"], abs=1e-5)
        own = headline.of_item("zoo_test", ("mnist",))
        for metric, learner in (("accuracy", "zoo_mnist"), ("accuracy_features", "zoo_mnist_features")):
            value = found[f"{task}/{learner}/cumulative@{end}"]["value"]
            assert own[f"{task}/{metric}"] == pytest.approx(value, abs=1e-5)
    early = found["digits/sgd/cumulative@100"]["value"]
    assert headline.of_item("baseline", ("sgd",))["digits/accuracy_100"] == pytest.approx(early, abs=1e-5)
    recalled = headline.of_item("recall_test", ("direct", "0"))
    assert {name.rpartition("_")[0] for name in recalled} >= {"accuracy_last", "delta/accuracy_last"}
    flat = {f"{section}/{name}": value for section, own in metrics.items() for name, value in own.items()}
    assert headline.of_item("report", ()) == flat
    counts = {item.name: len(headline.of_item(item.stage, item.words)) for item in Flow().items()}
    assert max(counts[name] for name in counts if name != "report") <= 24
    silent = ("plan", "train_data", "test_data", "meta_train", "recall_train", "feedback_train", "clone", "improve")
    silent = {item.name for item in Flow().items() if item.stage in (*silent, "shipped_clone", "figure")}
    assert {name for name, count in counts.items() if not count} == silent


def test_the_same_tables_give_the_same_report(reported, profile):
    outs = [paths.report(name) for name in ("index.html", "results.json", "claims.json", "metrics.json")]
    before = [path.read_text() for path in outs]
    report.main([])
    assert [path.read_text() for path in outs] == before
    assert str(profile) not in before[0] and str(paths.ROOT) not in before[0]


def test_the_report_of_a_profile_has_the_sections_of_what_it_made(reported, enter):
    items = enter("mnist").items
    page = Page(paths.report("index.html").read_text())
    text = "".join(page.text)
    assert len(page.all("img")) - 1 == len(items.drawn) == 11
    assert len(page.all("caption")) - text.count("Effects, positive where") == 16  # in short, four moments, robustness,
    # mixes, their means, association, exposures, cosines, channels, an episode, shipped, unity, training
    assert "Cloning backpropagation" not in text
    assert "Meta RNN" in text and "All but MNIST" in text
    assert "Digits" not in text and "_on_" not in text.split("What was run")[0]
    assert '<th scope="col">robust</th>' not in paths.report("index.html").read_text()
    assert len([cell for cell in page.all("td") if cell.get("class") == "seen"]) == 4 * 4  # methods, seen cells


def test_a_profile_without_vsml_has_a_report_of_its_siblings_only(profile, tmp_path, monkeypatch):
    shutil.copytree(profile, tmp_path / "siblings")
    monkeypatch.chdir(tmp_path / "siblings")
    tree = json.loads(paths.PARAMS.read_text())
    tree["items"] |= dict.fromkeys(("experiments", "introspect", "clones", "shipped_clones", "baselines", "zoo"), ())
    tree["items"]["figures"] |= {"learning": [], "unification": [], "cloning": []}
    tree["items"]["figures"]["recall"].remove("recall_association")  # where VSML is beside them
    kept = ("root", "items", "introspect", "recall", "feedback")  # rules that remember are shown images, too
    paths.PARAMS.write_text(json.dumps({name: tree[name] for name in kept}))
    Path("dvc.yaml").unlink()
    shutil.copy(paths.ROOT / "profiles/siblings/dvc.yaml", "dvc.yaml")
    provenance.write_plans()
    drawn = _make_report(draw=True)
    page = Page(paths.report("index.html").read_text())
    parts = ["claims", "figures", "run", "recall", "feedback"]
    assert [section["aria-labelledby"] for section in page.all("section")] == parts
    links = [link["href"] for link in page.all("a")]
    assert links[0] == "#claims" and set(parts) <= {link.removeprefix("#") for link in links}
    assert {link for link in links if link.startswith("#")} <= {f"#{attrs.get('id')}" for _, attrs in page.elements}
    assert len(page.all("img")) - 1 == len(drawn) and page.open == []
    found = parsed(json.loads(paths.report("results.json").read_text()))
    assert {key.subject for key in found} == {"recall", "feedback"}
    claimed = json.loads(paths.report("claims.json").read_text())["claims"]
    tables = {name for claim in claimed if claim["effects"] for name in claim["tables"]}
    assert tables == {"recall_test/*.npz", "feedback_test/*.npz"}


def test_what_a_profile_has_no_section_of_its_figures_do_not_know(profile, tmp_path):
    tree = json.loads(paths.PARAMS.read_text())
    items = dict.fromkeys(tree["items"], ()) | {"figures": dict.fromkeys(tree["items"]["figures"], ())}
    (tmp_path / "params.yaml").write_text(json.dumps({"root": ".", "items": items}))
    bare = params.read(tmp_path / "params.yaml")
    assert Profile.of(bare) == Profile({}, {}, (), "")


def test_results_of_figures_7_and_8_are_in_the_same_file(reported, enter):
    enter("mnist")
    found = json.loads(paths.report("results.json").read_text(), parse_constant=pytest.fail)
    assert {name.count("/") for name in found} == {2}
    assert found["mnist/vsml/cumulative@1000"]["seen"] is True
    assert found["mnist_48px/vsml/difference"]["n"] == 4
    assert found["mnist_21px/vsml/difference"]["within"] is False
    reference, changed = (found[f"mnist_{key}/vsml/cumulative@2000"]["value"] for key in ("unchanged", "21px"))
    assert found["mnist_21px/vsml/difference"]["value"] == pytest.approx(changed - reference)
    gap = {method: found[f"varying_data/{method}/gap"]["value"] for method in ("vsml", "meta_rnn", "sgd")}
    assert gap["meta_rnn"] > 0.3 > 0.1 > gap["vsml"] and abs(gap["sgd"]) < 0.1


@pytest.fixture
def root(reported, profile, tmp_path):
    begin, end = readme.markers("results")
    shown = "![Clones](docs/figures/cloning.png)"
    (tmp_path / "README.md").write_text(f"# Title\n\n{begin}\nold\n{end}\n{shown}\nThe end.\n")
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/page.md").write_text("![One form](figures/unification.png), `docs/mnist/figures/robustness.png`")
    readme.refresh(tmp_path)
    return tmp_path


def _add_markers(root, name):
    page = root / "README.md"
    page.write_text("\n".join([page.read_text(), *readme.markers(name), "More.\n"]))


def _block(root, name):
    begin, end = readme.markers(name)
    return (root / "README.md").read_text().split(begin)[1].split(end)[0].strip().splitlines()


def test_the_readme_shows_the_results_and_keeps_what_is_around_them(root):
    text = (root / "README.md").read_text()
    assert text.startswith("# Title\n\n<!-- results:begin -->\n| Data set |")
    assert text.endswith("<!-- results:end -->\n![Clones](docs/figures/cloning.png)\nThe end.\n")
    rows = re.findall(r"^\| (\w.*?) \((?:unseen|never)", text, flags=re.MULTILINE)
    assert rows == ["Digits", "Breast cancer", "Iris", "Wine", "Random", "Sum sign"]
    entry = json.loads((root / "docs/results.json").read_text())["digits/vsml/cumulative@480"]
    assert f"|  | 480 | **{entry['value']:.2f} ± {entry['sd']:.2f}** |" in text
    assert text.count("|  | 150 |") == 1  # iris has no more examples
    assert "n = 48 for VSML, 16 for SGD, 16 for Adam" in text


def test_docs_have_the_figures_that_a_page_shows_or_names_and_no_others(root, enter):
    for profile, shown in (("", ["cloning", "unification"]), ("mnist", ["robustness"])):
        items = enter(profile or "default").items
        readme.refresh(root)
        copied = sorted((root / "docs" / profile / "figures").iterdir())
        assert [path.stem for path in copied] == shown and len(items.drawn) > len(shown)
        for path in copied:
            assert sha256_file(path) == sha256_file(paths.figure(path.stem))


def test_every_picture_of_docs_is_on_a_page():
    assert set((paths.ROOT / "docs").rglob("*.png")) <= readme.pictures(paths.ROOT)


def test_the_readme_may_have_a_block_of_random_features(root):
    _add_markers(root, "features")
    readme.refresh(root)
    found, block = json.loads((root / "docs/results.json").read_text()), _block(root, "features")
    digits, mnist = (f"rule `{name}` | rule `{name}`, random features" for name in ("digits", "mnist"))
    networks, simple = "SGD or Adam | SGD or Adam, random features", "nearest mean, ridge or naive Bayes"
    assert block[0] == f"| Data set | examples | {digits} | {mnist} | {networks} | {simple} |"
    (cells,) = [line.replace("*", "").split(" | ")[1:] for line in block if line.startswith("|  | 150 |")]  # iris
    shown = [float(cell.split(" ±")[0]) for cell in cells[1:]]
    learners = ("zoo_digits", "zoo_digits_features", "zoo_mnist", "zoo_mnist_features")
    want = [found[f"iris/{name}/cumulative@150"]["value"] for name in learners]
    simple = ("nearest_mean", "ridge", "naive_bayes")
    for names in (("sgd", "adam", "sgd_hidden", "adam_hidden"), ("sgd_features", "adam_features"), simple):
        want.append(max(found[f"iris/{name}/cumulative@150"]["value"] for name in names))
    np.testing.assert_allclose(shown, want, atol=6e-4)
    lead = found["iris/zoo_mnist_features/lead@150"]
    assert cells[4].endswith(f" ({lead['value']:+.3f} ± {lead['sd'] / 4:.3f})")  # of 16 episodes


def test_the_readme_may_have_a_block_of_variants_in_words(root):
    _add_markers(root, "variants")
    readme.refresh(root)
    found = json.loads((root / "docs/results.json").read_text())
    for task in ("digits", "iris"):  # as if the rule had been meta-trained without the label
        own = {key: entry for key, entry in found.items() if key.startswith(f"{task}/vsml/cumulative@")}
        found |= {key.replace("vsml", "no_label"): entry | {"value": 0.123} for key, entry in own.items()}
    assert _block(root, "variants")[2].startswith("| the default rule |")
    head, _, rule, variant, *_ = blocks.text("variants", found).splitlines()
    assert head.startswith("| Rule | Digits, 100 | Digits, 480 | ") and "Iris, 150" in head
    assert rule.startswith("| the default rule |") and variant.startswith("| error, but no label |")
    assert variant.count("0.12 ± ") == 3 and rule.count(" ± ") > 3


def test_the_readme_says_how_fast_it_is_as_the_bench_measured_it(root, monkeypatch):
    _add_markers(root, "speeds")
    _add_markers(root, "users")
    monkeypatch.chdir(root)
    with pytest.raises(SystemExit, match=r"artifacts/bench/bench\.json is missing: run `make bench` first"):
        readme.refresh(root, "bench")
    shutil.copytree(paths.ROOT / "docs", root / "artifacts/bench")
    readme.refresh(root, "bench")
    assert sha256_file(root / "docs/bench.png") == sha256_file(paths.ROOT / "docs/bench.png")
    measured, block = json.loads((paths.ROOT / "docs/bench.json").read_text()), _block(root, "speeds")
    for line, race in zip(block[2:-2], measured["races"], strict=True):
        ways, ours, plain = ("forward", "gradient"), *map(race["over_the_least"].get, ("ours", "plain"))
        spread = [f"{median:.1f} [{low:.1f}, {high:.1f}]" for low, median, high in map(race["speed_up"].get, ways)]
        ns = ", ".join(f"{race['ns_per_tick'][f'ours {way}'][1]:.0f}" for way in ways)
        least = [f"{ours[way]:.1f}, {plain[way]:.1f}" for way in ways]
        assert line.strip("| ").split(" | ") == [race["case"], *spread, ns, *least]
    users, first = _block(root, "users"), measured["users"][0]
    assert [row["case"] for row in measured["users"]] * 2 == [
        line.split(" | ")[0].strip("| ") for line in users if " at a time | " in line
    ]
    for name, rates in first["examples_per_s"].items():
        column = users[2].strip("| ").split(" | ").index(name)
        assert users[4].strip("| ").split(" | ")[column] == f"{rates['learn'][1]:,.0f}"
    for row in measured["evolution"]:
        memory = f"{row['working_bytes'] / 2**20:.1f} MiB of working memory"
        assert f"{memory} for a population of {row['population']:,}" in block[-1]


def test_a_lost_marker_results_that_are_not_there_and_a_report_that_was_never_made_are_named(root, monkeypatch):
    page = root / "README.md"
    text = page.read_text()
    for lost in readme.markers("results"):
        page.write_text(text.replace(lost, ""))
        with pytest.raises(SystemExit, match=f"README.md must have one line .*{lost}"):
            readme.refresh(root)
    page.write_text(text)
    _add_markers(root, "results:paper")
    with pytest.raises(SystemExit, match=r"docs/paper/results.json is missing: run `python -m pipeline readme` witho"):
        readme.refresh(root, check=True)
    shutil.copy(paths.ROOT / "params.yaml", root)
    monkeypatch.chdir(root)
    with pytest.raises(SystemExit, match=r"artifacts/report/results.json is missing: run `dvc repro` first"):
        readme.refresh(root)


def test_another_profile_has_its_own_block_and_its_own_docs(root, enter):
    default, before = sha256_file(root / "docs/results.json"), (root / "README.md").read_text()
    enter("mnist")
    readme.refresh(root)
    assert (root / "README.md").read_text() == before, "it has no markers yet"
    _add_markers(root, "results:mnist")
    readme.refresh(root)
    assert (root / "README.md").read_text().startswith(before)
    block = "\n".join(_block(root, "results:mnist"))
    assert "| Fashion-MNIST (never seen) |" in block and "|  | 1,000 | **" in block and "Breast cancer" not in block
    assert sha256_file(root / "docs/results.json") == default
    page = root / "README.md"
    page.write_text(page.read_text().replace("|  | 1,000 | **0.", "|  | 1,000 | **1.", 1))
    with pytest.raises(SystemExit, match=r"results:mnist:begin.* is not that of .*docs/mnist/results\.json"):
        readme.refresh(root, check=True)


def test_each_figure_says_how_to_draw_it_again_and_which_claims_it_shows(page, items):
    text = "".join(page.text)
    judged = json.loads(paths.report("claims.json").read_text())["claims"]
    for name in items.drawn:
        assert f"--force {Flow().item('figure', (name,)).name}" in text
        for table in figures.needed(figures.module(name).NEEDS):
            assert sha256_file(paths.ARTIFACTS / table) in text
        assert sha256_file(paths.figure(name)) in text
        found = digest(STAGES["figure"].uses(params.read(), name).params)
        assert f"tags.figure = '{name}' and tags.params_digest = '{found}'" in text
    shown = [link["href"] for link in page.all("a") if link["href"].startswith("#claim-")]
    assert shown == [f"#claim-{one['id']}" for name in items.drawn for one in judged if name in one["figures"]]
    assert {attrs["id"] for attrs in page.all("details") if "id" in attrs} == {f"claim-{one['id']}" for one in judged}
