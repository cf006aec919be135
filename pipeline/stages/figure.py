"""Draws a figure from the tables that it needs, as PNG and as PDF."""

from pipeline import figures, params, paths, provenance
from pipeline.figures.style import save
from pipeline.tables import Profile


def main(item: list[str]) -> None:
    (name,) = item
    found = params.read()
    module = figures.module(name, found.items)
    tables = figures.read(module.NEEDS, found.items)
    figure = module.draw(tables, Profile.of(found))
    stamp = provenance.stamp("figure", (name,), [paths.ARTIFACTS / table for table in tables])
    for ending in ("png", "pdf"):
        save(figure, paths.figure(name, ending), stamp)
