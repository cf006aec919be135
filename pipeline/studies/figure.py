"""Draws a figure from the tables that it needs, as PNG and as PDF."""

from pipeline.run import job as provenance
from pipeline.run import paths
from pipeline.show import figures
from pipeline.show.style import save
from pipeline.studies import params
from pipeline.studies.learning.tables import Profile


def main(item: list[str]) -> None:
    (name,) = item
    found = params.read()
    module = figures.module(name)
    tables = figures.read(module.NEEDS)
    figure = module.draw(tables, Profile.of(found))
    stamp = provenance.stamp("figure", (name,), [paths.ARTIFACTS / table for table in tables])
    for ending in ("png", "pdf"):
        save(figure, paths.figure(name, ending), stamp)
