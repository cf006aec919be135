"""Draws a figure from the tables that it needs, as PNG and as PDF."""

from pipeline import figures, params, paths
from pipeline.figures.style import save


def main(item: list[str]) -> None:
    (name,) = item
    items = params.read().items
    module = figures.module(name, items)
    figure = module.draw(figures.read(module.NEEDS, items))
    for ending in ("png", "pdf"):
        save(figure, paths.figure(name, ending))
