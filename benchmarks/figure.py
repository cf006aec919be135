"""The benchmark as a picture: nanoseconds of a tick, plain and ours, forward and gradient."""

from typing import Any

import numpy as np

from pipeline.show.style import PAGE, Figure

BARS = {"plain": "#9a9a9a", "ours": "#D55E00"}


def draw(result: dict[str, Any]) -> Figure:
    races = result["races"][::-1]
    figure = Figure((PAGE, 0.9 + 0.32 * len(races)))
    for place, what in enumerate(("forward", "gradient"), start=1):
        axes = figure.add_subplot(1, 2, place, title=what, xlabel="ns per tick of a sub-RNN, median and quartiles")
        y = np.arange(len(races))
        for shift, (form, colour) in zip((0.19, -0.19), BARS.items(), strict=True):
            low, middle, high = np.array([race["ns_per_tick"][f"{form} {what}"] for race in races]).T
            spread = np.abs(np.stack([middle - low, high - middle]))
            axes.barh(y + shift, middle, 0.36, xerr=spread, color=colour, label=form, error_kw={"linewidth": 0.6})
        for row, race in enumerate(races):
            highest = max(race["ns_per_tick"][f"{form} {what}"][2] for form in BARS)
            axes.text(highest, row, f"  {race['speed_up'][what][1]:.1f}x", va="center", fontsize=7)
        axes.set_yticks(y, [race["case"] for race in races] if place == 1 else [""] * len(races))
        axes.margins(x=0.15)
        axes.grid(False, axis="y")
        axes.grid(True, axis="x")
        if place == 1:
            axes.legend(frameon=False, loc="lower right")
    return figure
