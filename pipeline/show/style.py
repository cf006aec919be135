"""One look for all figures, and the only importer of matplotlib.

The files hold no date and no version: the same table gives the same bytes.
"""

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

import matplotlib
import numpy as np
from jaxtyping import Bool, Float, Shaped
from matplotlib import rc
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.image import imread as pixels  # noqa: F401  # what a PNG shows: [row column channel]
from matplotlib.ticker import NullLocator
from matplotlib.transforms import Bbox
from scipy.optimize import isotonic_regression

from pipeline.run.artifacts import atomic
from pipeline.show.looks import GREY, Look
from pipeline.show.measures import Entry, cumulative, sd

COLUMN, PAGE = 3.5, 7.2  # inches: one column of a journal, and its full width
FAINT, RULED = "#c4c4c4", "#e6e6e6"
LINES = ("-", "--", "-.", ":")
PURPLES = ("#b3a2d6", "#8465bd", "#5b2c8f", "#2a0a4a")  # of rules that remember: more snippets are darker
SHADES = [{"color": colour, "linestyle": line} for colour, line in zip(PURPLES, LINES, strict=True)]
GUESSING = {"color": GREY, "linestyle": ":", "linewidth": 0.8}

matplotlib.rcdefaults()  # a matplotlibrc of the user would change the bytes
rc("font", family="DejaVu Sans", size=7.5)  # ships with matplotlib
rc("axes", titlesize=8, titleweight="bold", titlelocation="left", labelsize=7.5)
rc("axes", linewidth=0.6, edgecolor=GREY, axisbelow=True, grid=True)
rc("axes.spines", top=False, right=False)
rc("xtick", labelsize=7, color=GREY)
rc("ytick", labelsize=7, color=GREY)
rc("xtick.major", width=0.6, size=2.5)
rc("ytick.major", width=0.6, size=2.5)
rc("grid", color=RULED, linewidth=0.5)
rc("axes.grid", axis="y")
rc("legend", frameon=False, fontsize=6.5)
rc("lines", linewidth=1.2, solid_capstyle="butt")
rc("figure", titlesize=8, titleweight="bold", labelsize=7.5)
rc("figure.constrained_layout", use=True, h_pad=0.03, w_pad=0.03)
rc("savefig", dpi=200)
rc("pdf", fonttype=42)  # TrueType: text stays text


def panels(figure: Any, number: int, **more: Any) -> np.ndarray:
    """So many axes side by side, which share their y axis."""
    return figure.subplots(1, number, sharey=True, squeeze=False, **more)[0]


def stacked(top: float, bottom: float, width: float = PAGE) -> tuple[Figure, Any, Any]:
    """A figure and its two parts, one above the other, of these heights in inches."""
    figure = Figure((width, top + bottom))
    above, below = figure.subfigures(2, 1, height_ratios=(top, bottom), squeeze=False).ravel()
    return figure, above, below


def band(axes: Axes, x: Any, mean: np.ndarray, spread: np.ndarray, style: dict[str, Any], shade: float = 0.15) -> None:
    """A line, shaded by +- its spread."""
    axes.plot(x, mean, **style)
    if shade:
        axes.fill_between(x, mean - spread, mean + spread, color=style["color"], alpha=shade, linewidth=0)


def curve(axes: Axes, x: Any, values: Shaped[np.ndarray, "any x"], style: dict[str, Any], shade: float = 0.15) -> None:
    """The mean of `values`, shaded by +- 1 standard deviation if there are several."""
    band(axes, x, values.mean(0), sd(values, axis=0), style, shade)


def bars(axes: Axes, x: Any, values: Shaped[np.ndarray, "any x"], look: Look, **more: Any) -> None:
    """The mean of `values`, with bars of +- 1 standard deviation if there are several; they end above zero."""
    mean, spread = values.mean(0), np.nan_to_num(sd(values, axis=0))
    style: dict[str, Any] = look.style | {"elinewidth": 0.8} | more
    axes.errorbar(x, mean, yerr=np.stack([np.minimum(spread, 0.9 * mean), spread]), **style)


def dot(axes: Axes, entry: Entry, y: float, look: Look, size: float = 4, **more: Any) -> None:
    """A mean in row `y`, with a bar of +- 1 standard deviation where there is one."""
    spread = np.nan if entry["sd"] is None else entry["sd"]
    style: dict[str, Any] = {"color": look.colour, "marker": look.marker, "markersize": size, "elinewidth": 1}
    axes.errorbar(entry["value"], y, xerr=spread, **(style | more))


def note(axes: Axes, x: float, y: float, words: str | float, look: Look, **more: Any) -> None:
    """Small words in row `y`, or a number of two digits, about what is drawn there."""
    words = words if isinstance(words, str) else f"{words:.2f}"
    axes.text(x, y, words, **({"va": "center", "fontsize": 6.5, "color": ink(look.colour)} | more))


def heat_map(axes: Axes, values: Float[np.ndarray, "row column"], colours: str, top: float) -> AxesImage:
    """A cell for each value, from 0 to `top`, in a colour map of matplotlib; for a colour bar."""
    axes.grid(False)
    return axes.imshow(values, cmap=colours, vmin=0, vmax=top, aspect="auto", interpolation="nearest")


def in_rows(axes: Axes, names: Iterable[str], margin: float = 0.5) -> None:
    """Name the rows 0, 1, ..., the first on top, with so much room above the first and below the last."""
    names = list(names)
    axes.grid(False, axis="y")
    axes.set_ylim(len(names) - 1 + margin, -margin)
    axes.set_yticks(range(len(names)), names)
    axes.tick_params(axis="y", length=0)


def seed_dots(axes: Axes, of_rows: Sequence[tuple[str, Any, Any]], names: list[str], size: float) -> None:
    """In each row, which has a colour, a dot for each seed: filled, and hollow for the second values if any."""
    for row, (colour, filled, hollow) in enumerate(of_rows):
        for values, face in ((filled, colour), (hollow, "none")):
            if values is not None:
                y = np.full(len(values), row)
                axes.scatter(values, y, s=size, facecolors=face, edgecolors=colour, linewidths=0.9)
    in_rows(axes, names)
    axes.tick_params(axis="y", labelsize=6.5, labelcolor=ink(GREY), length=2.5)
    axes.grid(True, axis="x")


def legend_outside(figure: Any, panels: Any, loc: str, columns: int, size: float = 7) -> None:
    """One legend for all panels, with each name that a line of these has, once."""
    every = [axes.get_legend_handles_labels() for axes in np.ravel(panels)]
    lines = {name: line for handles, names in every for line, name in zip(handles, names, strict=True)}
    figure.legend(lines.values(), lines, loc=f"outside {loc}", ncols=columns, fontsize=size)


def ink(colour: str) -> tuple[float, ...]:
    """The colour of words about what is drawn in `colour`: darker, since thin strokes need more contrast."""
    return tuple(0.7 * part for part in to_rgb(colour))


def ticks(axes: Axes, way: Literal["x", "y"], at: Sequence[float]) -> None:
    """Ticks there and nowhere else, each with its number."""
    axis = getattr(axes, f"{way}axis")
    axis.set_ticks(at, labels=[f"{tick:g}" for tick in at])
    axis.set_minor_locator(NullLocator())


def accuracy_axis(axes: Axes, way: Literal["x", "y"], limits: tuple[float, float] = (0, 1.02)) -> None:
    """An axis of accuracies or probabilities, with a grid."""
    axes.set(**{f"{way}ticks": (0, 0.2, 0.4, 0.6, 0.8, 1.0), f"{way}lim": limits})
    axes.grid(True, axis=way)


def decades(axes: Axes, way: Literal["x", "y"]) -> None:
    """A logarithmic axis over whole decades, all of which are named; nothing lies on its lower end."""
    low, high = np.log10((getattr(axes.dataLim, f"minpos{way}"), getattr(axes.dataLim, f"{way}max")))
    powers = [10.0**power for power in range(math.floor(low - 0.01), math.ceil(high) + 1)]
    axes.set(**{f"{way}scale": "log", f"{way}lim": (powers[0], powers[-1])})
    ticks(axes, way, powers)


def example_axis(axes: Axes, first: int, last: int) -> None:
    """A logarithmic axis of examples seen: the first few matter as much as the last hundreds."""
    axes.set(xscale="log", xlim=(first, last))
    ticks(axes, "x", [first, *(tick for tick in (10, 30, 100, 300, 1000) if 2 * first <= tick <= last / 3), last])


def learning_curves(
    axes: Axes, every: Iterable[tuple[Look, Bool[np.ndarray, "*any time"], float]], first: int, gap: float | None
) -> None:
    """Of each learner, whether predictions were right, and how its band is shaded; named beside the axes, if `gap`."""
    ends = []
    for look, correct, shade in every:
        length = correct.shape[-1]
        accuracy = cumulative(correct).reshape(-1, length)[:, first - 1 :]
        curve(axes, np.arange(first, length + 1), accuracy, look.style, shade)
        ends.append((float(accuracy[:, -1].mean()), look))
    accuracy_axis(axes, "y")
    example_axis(axes, first, length)
    if gap:
        direct_labels(axes, ends, gap)


def direct_labels(axes: Axes, ends: list[tuple[float, Look]], gap: float) -> None:
    """Name lines right of the axes, at the y of their ends but at least `gap` apart, each with its line style."""
    ends = sorted(ends, key=lambda end: end[0])
    right = axes.get_yaxis_transform()
    for y, (_, look) in zip(apart([y for y, _ in ends], gap), ends, strict=True):
        axes.plot((1.02, 1.09), (y, y), transform=right, clip_on=False, **look.style)
        axes.text(1.11, y, look.name, transform=right, va="center", color=ink(look.colour), fontsize=7)


def apart(values: list[float], gap: float) -> Float[np.ndarray, " label"]:
    """The nearest ascending positions, in the least squares sense, that are at least `gap` from each other."""
    steps = gap * np.arange(len(values))
    return isotonic_regression(np.asarray(values) - steps).x + steps


def save(figure: Figure, path: Path, stamp: str | None = None) -> None:
    """Write `figure` as png or pdf, by the ending of `path`, with a stamp that says what it was drawn from."""
    nothing = {"png": {"Software": None}, "pdf": {"Creator": None, "Producer": None, "CreationDate": None}}
    own = {"png": "Provenance", "pdf": "Keywords"}  # where `whence` looks
    # Fix the layout to a millionth: its solver sums in an order of its own in each process, so the last bits vary.
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    for part in figure.subfigs:
        part.bbox_relative.set_points(part.bbox_relative.get_points().round(6) + 0.0)  # -0 becomes 0
    for axes in figure.axes:
        axes.set_position(Bbox(axes.get_position().get_points().round(6) + 0.0))
    ending = path.suffix[1:]
    with atomic(path) as temporary:
        figure.savefig(temporary, metadata=nothing[ending] | {own[ending]: stamp})
