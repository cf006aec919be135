"""Draws a figure from the tables that it needs, as PNG and as PDF."""

from pipeline import figures, params, paths
from pipeline.figures.style import save
from pipeline.results import Profile


def main(item: list[str]) -> None:
    (name,) = item
    found = params.read()
    module = figures.module(name, found.items)
    figure = module.draw(figures.read(module.NEEDS, found.items), Profile.of(found))
    for ending in ("png", "pdf"):
        save(figure, paths.figure(name, ending))
