"""Writes results and verdicts on the papers' claims as JSON, and the report: one page that needs no other file."""

import base64
import json
import re
from collections.abc import Iterator
from typing import Any

import jinja2

from pipeline.run import job as provenance
from pipeline.run import paths
from pipeline.run.artifacts import sha256_file, write_json, write_text
from pipeline.run.flow import Flow
from pipeline.run.params import digest
from pipeline.show import figures, intervals
from pipeline.show.display import Cell, Table
from pipeline.show.measures import Results, named
from pipeline.studies import claims, headline, params
from pipeline.studies.blocks import STUDIES
from pipeline.studies.cloning import claims as of_cloning
from pipeline.studies.cloning import measures as cloning
from pipeline.studies.feedback import claims as of_feedback
from pipeline.studies.feedback import measures as feedback
from pipeline.studies.learning import claims as of_learning
from pipeline.studies.learning import page as rows
from pipeline.studies.learning import ranking, replayed
from pipeline.studies.learning.measures import results, shipped_rules
from pipeline.studies.learning.tables import RULE, Profile, Tables
from pipeline.studies.params import Items, Params
from pipeline.studies.recall import claims as of_recall
from pipeline.studies.recall import measures as recall
from pipeline.studies.stages import STAGES, figure_module
from pipeline.studies.unification import claims as of_unification
from pipeline.studies.unification import measures as unification

TESTED = ("meta_test", "baseline", "introspect", "unify", "clone_test", "zoo_test", "recall_test", "feedback_test")
TABLES = ("meta_train/*/curve.npz", *(f"{stage}/*.npz" for stage in ("test_data", *TESTED)))
MEASURES: dict[str, claims.Measure] = {  # by the names that the tests of claims.yaml give them
    measure.__name__: measure
    for measure in (
        of_learning.accuracy,
        of_learning.unlike,
        of_learning.over_fitting,
        of_learning.changed_task,
        of_learning.second_exposure,
        of_learning.association,
        of_learning.gradient_cosine,
        of_unification.deviation,
        of_cloning.clone_accuracy,
        of_feedback.feedback_score,
        of_recall.recall_accuracy,
    )
}


def main(item: list[str]) -> None:
    """Write the JSON files and index.html; what the profile has no items of has no part in the page."""
    own = params.read()
    items, profile = own.items, Profile.of(own)
    tables = figures.read(TABLES)
    found = results(tables, profile) | unification.unification(tables)
    found |= cloning.cloning(tables) | recall.recall(tables) | feedback.feedback(tables)
    write_json(paths.report("results.json"), named(found))
    improved_on = own.improve.set if own.has("improve") else ""
    made = of_learning.Made(tables, profile, ranking.early(found), improved_on)
    judged = claims.judge(claims.read(MEASURES), MEASURES, made)
    tally = claims.counts(judged)
    write_json(paths.report("claims.json"), {"level": intervals.LEVEL, "counts": tally, "claims": judged})
    write_json(paths.report("metrics.json"), headline.of_profile(found, tally))
    trained_on = " and ".join(ranking.title(name) for name in profile.trained_on.get(RULE, ()))
    page: dict[str, Any] = {
        "headline": _headline(found) if ranking.tasks(found) else None,
        "replayed": replayed.replayed(tables) if RULE in items.introspect else None,
        "learned": rows.learned(items, tables) if items.experiments else None,
        "unification": unification.page(found) if unification.TABLE in tables else None,
        "recall": recall.page(found, tables, profile.introspected) if items.recall else None,
        **dict.fromkeys(("introspection", "shipped", "cloning", "feedback")),
    }
    if items.introspect:
        gaps, length = own.introspect.gaps, own.introspect.length
        page["introspection"] = rows.introspected(found, profile, items, gaps) | {"gaps": gaps, "length": length}
    if items.feedback:
        page["feedback"] = feedback.page(found, tables) | {"episodes": own.feedback.tests.episodes}
    if shipped_rules(tables):
        page["shipped"] = rows.shipped(found, profile) | {"count": own.random_features.count}
    if items.clones:
        early = min(cloning.LOOKED_AT, own.clone_test.stretches * own.clone_test.length)
        page["cloning"] = cloning.page(found, tables, early) | {
            "rate": own.clone.rate,
            "improved_on": ranking.title(improved_on),
            "improved_by": own.improve.steps,
        }
    drawn = [paths.ARTIFACTS / name for name in tables] + [paths.figure(name) for name in items.drawn]
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(paths.ROOT / "pipeline/show/page"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {"marks": claims.MARKS, "Table": Table}
    text = environment.get_template("page.html").render(
        page,
        stamp=provenance.stamp("report", (), drawn),
        trained_on=trained_on,
        origins=_origins(items),
        figures=list(_figures(items, _words(own, found, tables) | {"trained_on": trained_on}, judged)),
        claims=list(_claims(judged, items)),
        tally=tally,
        studies=_studies(judged),
        level=intervals.LEVEL,
        least_seeds=claims.SEEDS,
        parameters=json.dumps(STAGES["report"].uses(own).params, indent=1, ensure_ascii=False),
        tables=rows.main_tables(found, tables, profile, items),
    )
    write_text(paths.report("index.html"), text)


def _headline(found: Results) -> Table:
    """How all fare on the first task of the main experiment, which is that of its meta-training if it was tested."""
    task = ranking.tasks(found)[0]
    at = {moment: ranking.best(found, task, moment, ranking.EVERY) for moment in ranking.moments(found)}
    at = {moment: best for moment, best in at.items() if best}
    heads = ("Learner", *(f"after {moment or ranking.length(found, task):,} examples" for moment in at))
    learners = dict.fromkeys(learner for best in at.values() for learner in best)
    rows = [(one, *(ranking.plus_minus(best[one]) if one in best else "" for best in at.values())) for one in learners]
    of = f"unseen images of {ranking.title(task)}"
    return Table(heads, rows, "In short", f"Cumulative accuracy on {of}, mean \u00b1 standard deviation over episodes")


def _studies(judged: list[dict[str, Any]]) -> dict[str, dict[str, int]]:
    """How many claims of each study have which verdict here; of those that ran."""
    found = {}
    for study, (table, _) in STUDIES.items():
        ran = [claim for claim in judged if re.match(table, claim["tables"][0]) and claim["verdict"] != "not run"]
        found[study] = {verdict: count for verdict, count in claims.counts(ran).items() if count}
    return {study: verdicts for study, verdicts in found.items() if verdicts}


def _claims(judged: list[dict[str, Any]], items: Items) -> Iterator[dict[str, Any]]:
    """As judged, with a table of the effects, the numbers of the figures that show them, and the place in the file."""
    heads = ("Effect", "Mean and interval", "Expected", "Meta-seeds \u00d7 episodes", "Verdict")
    kinds = {"superior": "more than 0; {} matters", "equivalent": "within \u00b1 {}", "not_worse": "more than \u2212{}"}
    for number, claim in enumerate(judged):
        effects = []
        for effect in claim["effects"]:
            mean, low, high = (_number(effect[name]) for name in ("effect", "low", "high"))
            expected = kinds[effect["expect"]].format(f"{effect['margin']:g}")
            size, verdict = f"{effect['seeds']} \u00d7 {effect['episodes']}", Cell(effect["verdict"], mark="verdict")
            effects.append([effect["label"], f"{mean} [{low}, {high}]", expected, size, verdict])
        table = Table(heads, effects, f"Effects: {claim['says']}", "Effects, positive where the claim says so")
        numbers = {name: number for number, name in enumerate(items.drawn, start=1)}
        drawn = [{"name": name, "number": numbers[name]} for name in claim["figures"] if name in numbers]
        yield claim | {"number": number, "drawn": drawn, "table": table}


def _number(value: float | None) -> str:
    if value is None:  # the end of an infinite interval
        return "?"
    return (f"{value:.1e}" if 0 < abs(value) < 0.0005 else f"{value:.3f}").replace("-", "\u2212")


def _figures(items: Items, words: dict[str, Any], judged: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Each figure with its words, the claims that it shows, and all that is needed to draw it again.

    No clock, no commit and no run: the same tables give the same page.
    """
    flow = Flow()
    for name in items.drawn:
        item = flow.item("figure", (name,))
        plan = json.loads(item.plan.read_text(encoding="utf-8"))
        digest_of_params = digest(plan["params"])
        module, path = figures.module(name), paths.figure(name)
        png, code = path.read_bytes(), f"{figure_module(name).replace('.', '/')}.py"
        width, height = int.from_bytes(png[16:20]), int.from_bytes(png[20:24])
        title, _, caption = module.CAPTION.format(**words).partition(". ")
        drawn = [paths.ARTIFACTS / table for table in figures.needed(module.NEEDS)]
        yield {
            "name": name,
            "title": title,
            "alt": module.ALT.format(**words),
            "caption": caption,
            "claims": [claim for claim in judged if name in claim["figures"]],
            "png": base64.b64encode(png).decode(),
            "width": width * 3 // 4,  # so that all have letters of one size, sharp on fine screens
            "height": height * 3 // 4,
            "run": f"dvc repro --single-item --force {item.name}",
            "search": f"tags.stage = 'figure' and tags.figure = '{name}' and tags.params_digest = '{digest_of_params}'",
            "params": digest_of_params,
            "code": {"name": code, "digest": plan["code"]},
            "sha256": sha256_file(path),
            "tables": [{"name": table.as_posix(), "sha256": sha256_file(table)} for table in drawn],
        }


def _origins(items: Items) -> dict[str, list[str]]:
    """Which rules this run has learned itself, and which it has taken as they ship."""
    every = {
        "Learned in this run": {
            "rules that learn examples online": len(items.experiments) * len(items.seeds),
            "clones of backpropagation and improved clones": 2 * len(items.learned_clones),
            "rules that remember": len(items.recall) * len(items.recall_seeds),
            "networks taught by feedback or by gradients": len(items.feedback) * len(items.feedback_seeds),
        },
        "Taken from the package as they ship, and tested": {
            "rules that learn examples online": len(items.zoo),
            "clones of backpropagation and improved clones": 2 * len(items.shipped_clones),
        },
    }
    return {way: [f"{what} ({count})" for what, count in rules.items() if count] for way, rules in every.items()}


def _words(own: Params, found: Results, tables: Tables) -> dict[str, Any]:
    """What captions say of this profile; of the systems that it has no items of, nothing."""
    items = own.items
    words: dict[str, Any] = {
        "tasks": len(ranking.tasks(found)),
        "early": ranking.when(ranking.early(found)),
        "introspected": ranking.title(Profile.of(own).introspected),
        "shipped": next(iter(shipped_rules(tables)), ""),
    }
    for kind in ("seeds", "recall_seeds", "feedback_seeds", "clones"):
        count, what = len(getattr(items, kind)), "clone" if kind == "clones" else "meta-seed"
        words[kind] = f"{count} {what}{'s' * (count != 1)}"
    if own.has("tests"):
        words |= {"episodes": own.tests.episodes, "length": f"{own.tests.length:,}"}
    if own.has("introspect"):
        words["looks"] = own.introspect.episodes
    if items.clones:
        words |= {"clone_episodes": own.clone_test.episodes, "clone_queries": own.clone_test.queries}
        words["improved_on"] = ranking.title(own.improve.set)
    if items.recall:
        horizons = own.recall.experiments[items.recall[0]].training.horizons
        words |= {"recall_bits": own.recall.size, "recall_middle": recall.middle(horizons)}
    if items.feedback:
        words["taught"] = own.feedback.tests.episodes
    return words
