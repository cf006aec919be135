"""Writes results and verdicts on the papers' claims as JSON, and the report: one page that needs no other file."""

import base64
import json
from collections.abc import Iterator
from typing import Any

import jinja2

from pipeline import (
    bootstrap,
    claims,
    cloning,
    comparison,
    feedback,
    figures,
    generality,
    introspection,
    lives,
    params,
    paths,
    provenance,
    recall,
    rows,
    shipped,
    unification,
)
from pipeline.artifacts import sha256_file, write_json, write_text
from pipeline.effects import MEASURES
from pipeline.effects.learning import Made
from pipeline.params import Items, Params, digest
from pipeline.results import Results, results
from pipeline.tables import RULE, Profile, Tables
from pipeline.uses import STAGES, Uses

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
    own = params.read()
    items, profile = own.items, Profile.of(own)
    tables = figures.read(TABLES, items)
    found = results(tables, profile) | generality.generality(tables, profile)
    found |= introspection.introspection(tables, profile) | unification.unification(tables)
    found |= cloning.cloning(tables) if items.clones else {}
    found |= shipped.shipped(tables, profile) | recall.recall(tables) | feedback.feedback(tables)
    write_json(paths.report("results.json"), found)
    made = Made(tables, profile, comparison.early(found), own.improve.set)
    judged = claims.judge(claims.read(MEASURES), MEASURES, made)
    verdicts = {"level": bootstrap.LEVEL, "counts": claims.counts(judged), "claims": judged}
    write_json(paths.report("claims.json"), verdicts)
    loader = jinja2.FileSystemLoader(paths.ROOT / "pipeline")
    environment = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"plus_minus": comparison.plus_minus, "signed": generality.signed}
    environment.filters |= {"interval": claims.words_of_interval, "expected": claims.words_of_expected}
    page = environment.get_template("page.html").render(
        stamp=_stamp(own, tables),
        trained_on=_trained_on(profile),
        introspected=comparison.title(profile.introspected),
        verdicts=generality.verdicts(found),
        headline=_headline(found),
        figures=list(_figures(own, found, tables, judged)),
        claims=list(_claims(judged, items)),
        tally=claims.counts(judged),
        marks=claims.MARKS,
        level=bootstrap.LEVEL,
        least_seeds=claims.SEEDS,
        parameters=json.dumps(_drawn(own).params, indent=1, ensure_ascii=False),
        accuracies=list(rows.accuracies(found, tables, profile, items)),
        one_shot=list(rows.one_shot(found, tables, profile)),
        robustness=list(rows.robustness(found, tables)),
        varying_data=rows.varying_data(found, profile),
        associations=list(rows.associations(found, profile, items)),
        introspection=rows.introspected(found, profile, own),
        lives=lives.lives(tables) if RULE in items.introspect else None,
        learned=list(rows.learned(items, tables)),
        unification={"rows": list(unification.rows(found)), "matrix": unification.words_of_matrix(found)},
        shipped=shipped.table(found, tables, profile) | {"count": own.random_features.count},
        cloning=_cloned(own, found, tables) if items.clones else None,
        recall=recall.page(found, tables, profile.introspected) if items.recall else None,
        feedback=feedback.page(found, tables, own.feedback.tests.lives) if items.feedback else None,
    )
    write_text(paths.report("index.html"), page)


def _stamp(own: Params, tables: Tables) -> str:
    drawn = [paths.ARTIFACTS / name for name in tables] + [paths.figure(name) for name in own.items.figures]
    return provenance.stamp("report", (), drawn)


def _trained_on(profile: Profile) -> str:
    return " and ".join(comparison.title(name) for name in profile.trained_on[RULE])


def _cloned(own: Params, found: Results, tables: Tables) -> dict[str, Any]:
    return {
        "rows": list(cloning.rows(found, tables)),
        "terms": list(cloning.TERMS.values()),
        "rate": own.clone.rate,
        "improvement": list(cloning.improvement(found, tables)),
        "improved_on": comparison.title(own.improve.set),
        "improved_by": own.improve.steps,
        "early": min(cloning.LOOKED_AT, own.clone_test.stretches * own.clone_test.length),
    }


def _headline(found: Results) -> dict[str, Any]:
    """How all fare on the first task of the main experiment, which is that of its meta-training if it was tested."""
    task = comparison.tasks(found)[0]
    families = {moment: comparison.best(found, task, moment) for moment in comparison.moments(found)}
    return {
        "task": comparison.title(task),
        "families": {moment: family for moment, family in families.items() if family},
        "length": comparison.length(found, task),
    }


def _claims(judged: list[dict[str, Any]], items: Items) -> Iterator[dict[str, Any]]:
    """As judged, with the numbers of the figures that show them, and their place in claims.yaml."""
    for number, claim in enumerate(judged):
        drawn = [
            {"name": name, "number": items.figures.index(name) + 1}
            for name in claim["figures"]
            if name in items.figures
        ]
        yield claim | {"number": number, "drawn": drawn}


def _drawn(own: Params) -> Uses:
    """What all figures depend on."""
    return STAGES["figure"](own, own.items.figures[0])


def _figures(own: Params, found: Results, tables: Tables, judged: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Each figure with its words, the claims that it shows, and all that is needed to draw it again.

    No clock, no commit and no run: the same tables give the same page.
    """
    profile = Profile.of(own)
    seeds = len(own.items.seeds)
    words = {
        "seeds": _counted(seeds, "meta-seed"),
        "lives": own.tests.lives,
        "length": f"{own.tests.length:,}",
        "looks": own.introspect.lives,
        "tasks": len(comparison.tasks(found)),
        "early": comparison.when(comparison.early(found)),
        "trained_on": _trained_on(profile),
        "introspected": comparison.title(profile.introspected),
        "clones": _counted(len(own.items.clones), "clone"),
        "improved_on": comparison.title(own.improve.set),
        "clone_lives": own.clone_test.lives,
        "clone_probes": own.clone_test.probes,
        "recall_seeds": _counted(len(own.items.recall_seeds), "meta-seed"),
        "shipped": shipped.names(tables)[0],
    }
    if own.items.recall:
        first = own.recall.experiments[own.items.recall[0]]
        words |= {"recall_bits": own.recall.size, "recall_middle": recall.middle(first.training.horizons)}
    if own.items.feedback:
        words["taught"] = own.feedback.tests.lives
        words["feedback_seeds"] = _counted(len(own.items.feedback_seeds), "meta-seed")
    digest_of_params = digest(_drawn(own).params)
    for name in own.items.figures:
        module, path = figures.module(name, own.items), paths.figure(name)
        png, code = path.read_bytes(), f"pipeline/figures/{name}.py"
        width, height = int.from_bytes(png[16:20]), int.from_bytes(png[20:24])
        title, _, caption = module.CAPTION.format(**words).partition(". ")
        drawn = [paths.ARTIFACTS / table for table in figures.needed(module.NEEDS, own.items)]
        yield {
            "name": name,
            "title": title,
            "alt": module.ALT.format(**words),
            "caption": caption,
            "claims": claims.of_figure(judged, name),
            "png": base64.b64encode(png).decode(),
            "width": width * 3 // 4,  # so that all have letters of one size, sharp on fine screens
            "height": height * 3 // 4,
            "run": f"dvc repro --single-item --force figure@{name}",
            "search": f"tags.stage = 'figure' and tags.figure = '{name}' and tags.params_digest = '{digest_of_params}'",
            "params": digest_of_params,
            "code": {"name": code, "sha256": sha256_file(paths.ROOT / code)},
            "sha256": sha256_file(path),
            "tables": [{"name": table.as_posix(), "sha256": sha256_file(table)} for table in drawn],
        }


def _counted(number: int, what: str) -> str:
    return f"1 {what}" if number == 1 else f"{number} {what}s"
