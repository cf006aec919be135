"""Unification: what each learning algorithm is as an instance of VSML, and by how little the two differ."""

from typing import Any

import numpy as np

from pipeline.show.looks import LOOKS
from pipeline.show.style import FAINT, GREY, PAGE, RULED, Axes, Figure, stacked, to_rgb
from pipeline.studies.learning.tables import Profile, Tables
from pipeline.studies.unification.measures import METHODS, TABLE

NEEDS = (TABLE,)
ALT = (
    "Top: a grid of sub-RNNs between units below and units above, with the messages along its rows and columns, and "
    "the sparse pattern of the matrix of one big RNN that equals such a grid. Bottom: for eight learning algorithms, "
    "what a connection keeps, hears and does, and a dot chart on a logarithmic axis of the deviation of each from its "
    "instance, of its control, and of what it has learned."
)
CAPTION = (
    "Unification, by construction. Top: the general form, whose sub-RNNs share their functions; and the matrix of the "
    "one big RNN that a minimal grid is, a block for each pair of connections: memory within a sub-RNN (W), messages "
    "between them (C), both, or zeros (white). Bottom left: what a connection keeps and hears and how it changes, for "
    "each algorithm as an instance: x, e, y: input, error and label of an example; p: predicted probabilities; "
    "k, q, v: key, query and value, v\u0302: what was stored under the key; pre, post: activities; net: a small random "
    "net. Bottom right, in float32, a dot for each lifetime: the largest absolute deviation between the predictions "
    "of the algorithm\u2019s own implementation and of the instance, the same for what they have learned (states), "
    "and, for scale, how far learning has moved the predictions, and the deviation of a control: the instance of a "
    "near relative of the algorithm."
)
COLUMNS = {0.0: "algorithm", 0.33: "keeps", 0.44: "hears from\nbelow", 0.59: "hears from\nabove", 0.735: "changes by"}
POST = "\\mathrm{post}_b"
ROWS = {
    "network": ("$h, c$", "$x_a$", "$e_b$", "an LSTM"),
    "meta_rnn": ("$h, c$", "$x$", "$e, y$", "an LSTM, $A = B = 1$"),
    "fast_weights": ("$w$", "$k_a$, $q_a$", "$v_b - \\hat{v}_b$, $\\beta$", "$+\\beta k_a (v_b - \\hat{v}_b)$"),
    "hebb": ("$w$", "$\\mathrm{pre}_a$", "$\\mathrm{post}_b$", "$+\\eta(\\mathrm{pre}_a\\mathrm{post}_b - w)$"),
    "oja": ("$w$", "$\\mathrm{pre}_a$", "$\\mathrm{post}_b$", f"$+\\eta\\,{POST}(\\mathrm{{pre}}_a - {POST} w)$"),
    "local_rule": ("$w$", "$x_a$", "$p_b$, $e_b$", "$+\\mathrm{net}(x_a, p_b, w, e_b)$"),
    "sgd": ("$w$", "$x_a$, 1", "$e_b$", "$-\\eta\\, e_b x_a$"),
    "matrix": ("$s$", "$x_a + \\mathrm{fwd}_a$", "\u2013", "$\\tanh(sW + \\ldots)$"),
}
SERIES: dict[str, tuple[str, float, dict[str, Any]]] = {  # in the table: name, offset within the row, and look
    "prediction_deviation": ("deviation, predictions", -0.12, {"color": LOOKS["vsml"].colour, "marker": "o"}),
    "state_deviation": ("deviation, states", 0.12, {"color": LOOKS["vsml"].colour, "marker": "o", "mfc": "white"}),
    "control_deviation": ("deviation of the control", -0.12, {"color": LOOKS["sgd"].colour, "marker": "x"}),
    "learning": ("change by learning", 0.12, {"color": GREY, "marker": "s"}),
}
BELOW, ABOVE = "#0072B2", "#D55E00"


def draw(tables: Tables, profile: Profile) -> Figure:
    arrays = tables[TABLE].arrays
    names = arrays["pair"].tolist()
    figure = Figure((PAGE, 2.3 + 0.3 * len(names)))
    heights = 1.5, 0.8 + 0.3 * len(names)
    top, bottom = stacked(figure, *heights)
    grid, words, matrix = top.subplots(1, 3, width_ratios=(1, 1.45, 0.8))
    _grid(grid)
    _equations(words)
    _matrix(matrix, arrays["cases"])
    table, dots = bottom.subplots(1, 2, sharey=True, width_ratios=(2.15, 1))
    _table(table, names)
    _dots(dots, arrays)
    return figure


def _grid(axes: Axes) -> None:
    """Sub-RNNs at the crossings; what row a and column b hear and say."""
    axes.set_axis_off()
    for a in range(3):
        for b in range(4):
            mark = {"mec": GREY, "mew": 0.8, "mfc": RULED if (a, b) != (1, 2) else FAINT}
            axes.plot(b, a, marker="s", markersize=11, **mark)
    axes.text(2, 1, "$s_{ab}$", ha="center", va="center", fontsize=6.5)
    arrow = {"arrowstyle": "-|>", "linewidth": 0.9, "shrinkA": 0, "shrinkB": 0}
    for start, end, colour in (
        ((-1.1, 0.87), (-0.35, 0.87), BELOW),
        ((-0.35, 1.13), (-1.1, 1.13), ABOVE),
        ((1.87, 3.15), (1.87, 2.4), ABOVE),
        ((2.13, 2.4), (2.13, 3.15), BELOW),
    ):
        axes.annotate("", end, start, arrowprops=arrow | {"color": colour})
    axes.text(-1.2, 0.82, "$\\mathrm{fwd}_a$", color=BELOW, ha="right", va="center")
    axes.text(-1.2, 1.25, "$\\mathrm{down}_a$", color=ABOVE, ha="right", va="center")
    axes.text(1.75, 3.0, "$\\mathrm{bwd}_b$", color=ABOVE, ha="right", va="center")
    axes.text(2.25, 3.0, "$\\mathrm{up}_b$", color=BELOW, ha="left", va="center")
    axes.set(xlim=(-2.6, 3.5), ylim=(-0.5, 3.3))


def _equations(axes: Axes) -> None:
    axes.set_axis_off()
    fwd, bwd = "\\mathrm{fwd}_a", "\\mathrm{bwd}_b"
    lines = (
        (f"$s_{{ab}} \\leftarrow f_\\mathrm{{RNN}}(s_{{ab}}, {fwd}, {bwd})$", "every sub-RNN changes, by one rule"),
        ("$\\mathrm{up}_b = \\Sigma_a f_\\mathrm{fwd}(s_{ab})$", "the unit above hears its column"),
        ("$\\mathrm{down}_a = \\Sigma_b f_\\mathrm{bwd}(s_{ab})$", "the unit below hears its row"),
    )
    for row, (formula, words) in enumerate(lines):
        axes.text(0.06, 0.93 - 0.33 * row, formula, fontsize=8, va="center")
        axes.text(0.06, 0.78 - 0.33 * row, words, fontsize=6.5, color=GREY, va="center")
    axes.set(xlim=(0, 1), ylim=(0, 1))


def _matrix(axes: Axes, cases: np.ndarray) -> None:
    """Which blocks of W~ are zero, W, C and both."""
    colours = np.array([to_rgb(colour) for colour in ("white", ABOVE, BELOW, "black")])
    axes.imshow(colours[cases], interpolation="nearest")
    axes.set(xticks=(), yticks=(), xlabel="to connection", ylabel="from connection")
    axes.spines[["top", "right"]].set_visible(True)
    axes.set_title("$\\widetilde{W}$ of one big RNN", fontsize=7, fontweight="normal")
    for name, colour in (("$W$", ABOVE), ("$C$", BELOW), ("both", "black")):
        axes.plot([], [], linestyle="none", marker="s", markersize=4, color=colour, label=name)
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, fontsize=6.5, handletextpad=0.1)


def _table(axes: Axes, names: list[str]) -> None:
    """What an instance is, a row each."""
    axes.set_axis_off()
    for row, name in enumerate(names):
        for x, words in zip(COLUMNS, (METHODS[name], *ROWS[name]), strict=True):
            axes.text(x, row, words, va="center", fontsize=6.8)
        if row:
            axes.axhline(row - 0.5, color=RULED, linewidth=0.5)
    for x, words in COLUMNS.items():
        axes.text(x, -0.75, words, va="bottom", fontsize=6.5, color=GREY)
    axes.set(xlim=(0, 1), ylim=(len(names) - 0.5, -1.6))


def _dots(axes: Axes, arrays: dict[str, np.ndarray]) -> None:
    """A dot for each lifetime."""
    rows = np.arange(len(arrays["pair"]))[:, None]
    for metric, (name, offset, look) in SERIES.items():
        values = arrays[metric]
        y = np.broadcast_to(rows + offset, values.shape)
        axes.plot(values.ravel(), y.ravel(), linestyle="none", markersize=3, mew=0.7, label=name, **look)
    for row in rows[1:, 0]:
        axes.axhline(row - 0.5, color=RULED, linewidth=0.5)
    axes.set(xscale="log", xlabel="largest absolute value in a lifetime")
    axes.set_xlim(right=300)
    axes.grid(axis="x")
    axes.tick_params(axis="y", length=0, labelleft=False)
    axes.spines["left"].set_visible(False)
    plain = {"facecolor": "white", "edgecolor": "none", "framealpha": 1}  # over the grid lines
    axes.legend(loc="lower left", bbox_to_anchor=(-0.05, 0.9), ncols=2, fontsize=6, columnspacing=0.8, **plain)
