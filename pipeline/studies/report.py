"""Writes results and verdicts on the papers' claims as JSON, and the report: one page that needs no other file."""

import base64
import json
from collections.abc import Iterator
from typing import Any

import jinja2

from pipeline.run import job as provenance
from pipeline.run import paths
from pipeline.run.artifacts import sha256_file, write_json, write_text
from pipeline.run.flow import Flow
from pipeline.run.params import digest
from pipeline.show import figures
from pipeline.show import intervals as bootstrap
from pipeline.show.display import Cell, Table
from pipeline.show.measures import Results, named
from pipeline.studies import claims, params
from pipeline.studies.cloning import measures as cloning
from pipeline.studies.feedback import measures as feedback
from pipeline.studies.learning import lives
from pipeline.studies.learning import ranking as comparison
from pipeline.studies.learning import words as rows
from pipeline.studies.learning.claims import Made
from pipeline.studies.learning.measures import results, shipped_rules
from pipeline.studies.learning.tables import RULE, Profile, Tables
from pipeline.studies.measured import MEASURES
from pipeline.studies.params import Items, Params
from pipeline.studies.recall import measures as recall
from pipeline.studies.stages import STAGES, figure_module
from pipeline.studies.unification import measures as unification

TABLES = (
    "test_data/*.npz",
    "meta_train/*/curve.npz",
    "meta_test/*.npz",
    "baseline/*.npz",
    "introspect/*.npz",
    "unify/*.npz",
    "clone_test/*.npz",
    "zoo_test/*.npz",
    "recall_test/*.npz",
    "feedback_test/*.npz",
)


def main(item: list[str]) -> None:
    """Write results.json, claims.json and index.html; what the profile has no items of has no part in the page."""
    own = params.read()
    items, profile = own.items, Profile.of(own)
    tables = figures.read(TABLES)
    found = results(tables, profile) | unification.unification(tables) | cloning.cloning(tables)
    found |= recall.recall(tables) | feedback.feedback(tables)
    write_json(paths.report("results.json"), named(found))
    made = Made(tables, profile, comparison.early(found), _improved_on(own))
    judged = claims.judge(claims.read(MEASURES), MEASURES, made)
    verdicts = {"level": bootstrap.LEVEL, "counts": claims.counts(judged), "claims": judged}
    write_json(paths.report("claims.json"), verdicts)
    loader = jinja2.FileSystemLoader(paths.ROOT / "pipeline/show/page")
    environment = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.globals["marks"] = claims.MARKS
    page = environment.get_template("page.html").render(
        stamp=_stamp(own, tables),
        trained_on=_trained_on(profile),
        verdicts=rows.verdicts(found),
        headline=_headline(found) if comparison.tasks(found) else None,
        figures=list(_figures(own, found, tables, judged)),
        claims=list(_claims(judged, items)),
        tally=claims.counts(judged),
        level=bootstrap.LEVEL,
        least_seeds=claims.SEEDS,
        parameters=json.dumps(STAGES["report"].uses(own).params, indent=1, ensure_ascii=False),
        tables=rows.main_tables(found, tables, profile, items),
        introspection=_introspected(own, found, profile),
        lives=lives.lives(tables) if RULE in items.introspect else None,
        learned=rows.learned(items, tables) if items.experiments else None,
        unification=unification.page(found) if unification.TABLE in tables else None,
        shipped=_shipped(own, found, tables, profile),
        cloning=_cloned(own, found, tables),
        recall=recall.page(found, tables, profile.introspected) if items.recall else None,
        feedback=feedback.page(found, tables, own.feedback.tests.lives) if items.feedback else None,
    )
    write_text(paths.report("index.html"), page)


def _stamp(own: Params, tables: Tables) -> str:
    drawn = [paths.ARTIFACTS / name for name in tables] + [paths.figure(name) for name in own.items.drawn]
    return provenance.stamp("report", (), drawn)


def _trained_on(profile: Profile) -> str:
    return " and ".join(comparison.title(name) for name in profile.trained_on.get(RULE, ()))


def _improved_on(own: Params) -> str:
    return own.improve.set if own.has("improve") else ""


def _introspected(own: Params, found: Results, profile: Profile) -> dict[str, Any] | None:
    if not own.items.introspect:
        return None
    return rows.introspected(found, profile, own.items, own.introspect.gaps, own.introspect.length)


def _shipped(own: Params, found: Results, tables: Tables, profile: Profile) -> dict[str, Any] | None:
    if not shipped_rules(tables):
        return None
    return {"table": rows.shipped(found, profile), "count": own.random_features.count}


def _cloned(own: Params, found: Results, tables: Tables) -> dict[str, Any] | None:
    if not own.items.clones:
        return None
    early = min(cloning.LOOKED_AT, own.clone_test.stretches * own.clone_test.length)
    return {
        "tests": cloning.tests_table(found, tables),
        "rate": own.clone.rate,
        "improvement": cloning.improvement_table(found, tables, early),
        "improved_on": comparison.title(own.improve.set),
        "improved_by": own.improve.steps,
    }


def _headline(found: Results) -> dict[str, Any]:
    """How all fare on the first task of the main experiment, which is that of its meta-training if it was tested."""
    task = comparison.tasks(found)[0]
    families = {}
    for moment in comparison.moments(found):
        if best := comparison.best(found, task, moment):
            examples = f"{moment or comparison.length(found, task):,}"
            families[examples] = {family: comparison.plus_minus(entry) for family, entry in best.items()}
    return {"task": comparison.title(task), "families": families}


def _claims(judged: list[dict[str, Any]], items: Items) -> Iterator[dict[str, Any]]:
    """As judged, with the numbers of the figures that show them, and their place in claims.yaml."""
    for number, claim in enumerate(judged):
        drawn = [
            {"name": name, "number": items.drawn.index(name) + 1} for name in claim["figures"] if name in items.drawn
        ]
        yield claim | {"number": number, "drawn": drawn, "table": _effects(claim)}


def _effects(claim: dict[str, Any]) -> Table:
    effects = [
        [
            effect["label"],
            claims.words_of_interval(effect),
            claims.words_of_expected(effect),
            f"{effect['seeds']} \u00d7 {effect['lives']}",
            Cell(effect["verdict"], mark="verdict"),
        ]
        for effect in claim["effects"]
    ]
    heads = ("Effect", "Mean and interval", "Expected", "Meta-seeds \u00d7 lives", "Verdict")
    return Table(heads, effects, f"Effects: {claim['says']}", "Effects, positive where the claim says so")


def _figures(own: Params, found: Results, tables: Tables, judged: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Each figure with its words, the claims that it shows, and all that is needed to draw it again.

    No clock, no commit and no run: the same tables give the same page.
    """
    words = _words(own, found, tables)
    flow = Flow()
    for name in own.items.drawn:
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
            "claims": claims.of_figure(judged, name),
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


def _words(own: Params, found: Results, tables: Tables) -> dict[str, Any]:
    """What captions say of this profile; of the systems that it has no items of, nothing."""
    items, profile = own.items, Profile.of(own)
    words: dict[str, Any] = {
        "seeds": _counted(len(items.seeds), "meta-seed"),
        "tasks": len(comparison.tasks(found)),
        "early": comparison.when(comparison.early(found)),
        "trained_on": _trained_on(profile),
        "introspected": comparison.title(profile.introspected),
        "clones": _counted(len(items.clones), "clone"),
        "recall_seeds": _counted(len(items.recall_seeds), "meta-seed"),
        "feedback_seeds": _counted(len(items.feedback_seeds), "meta-seed"),
        "shipped": next(iter(shipped_rules(tables)), ""),
    }
    if own.has("tests"):
        words |= {"lives": own.tests.lives, "length": f"{own.tests.length:,}"}
    if own.has("introspect"):
        words["looks"] = own.introspect.lives
    if items.clones:
        words |= {"clone_lives": own.clone_test.lives, "clone_probes": own.clone_test.probes}
        words["improved_on"] = comparison.title(own.improve.set)
    if items.recall:
        first = own.recall.experiments[items.recall[0]]
        words |= {"recall_bits": own.recall.size, "recall_middle": recall.middle(first.training.horizons)}
    if items.feedback:
        words["taught"] = own.feedback.tests.lives
    return words


def _counted(number: int, what: str) -> str:
    return f"1 {what}" if number == 1 else f"{number} {what}s"
