"""Unification: what each learning algorithm is as an instance of VSML, and by how little the two differ."""

from typing import Any

import numpy as np

from pipeline.show.looks import LOOKS
from pipeline.show.style import FAINT, GREY, RULED, Figure, stacked, to_rgb
from pipeline.studies.learning.tables import Profile, Tables
from pipeline.studies.unification.measures import PAIRS, TABLE

NEEDS = (TABLE,)
ALT = (
    "Top: a grid of sub-RNNs between units below and units above, with the messages along its rows and columns, and "
    "the sparse pattern of the matrix of one big RNN that equals such a grid. Bottom: for nine learning algorithms, "
    "what a connection keeps, hears and does, and a dot chart on a logarithmic axis of the deviation of each from its "
    "instance, of its control, and of what it has learned."
)
CAPTION = (
    "Unification, by construction. Top: the general form, whose sub-RNNs share their functions; and the matrix of the "
    "one big RNN that a minimal grid is, a block for each pair of connections: memory within a sub-RNN (W), messages "
    "between them (C), both, or zeros (white). Bottom left: what a connection keeps and hears and how it changes, for "
    "each algorithm as an instance: x, e, y: input, error and label of an example; p: predicted probabilities; "
    "k, q, v: key, query and value, v\u0302: what was stored under the key; pre, post: activities; net: a small random "
    "net. Bottom right, in float32, a dot for each episode: the largest absolute deviation between the predictions "
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
    "nearest_mean": ("$w, n$", "$x_a$", "$y_b$", "$+y_b (x_a - w)/(n + 1)$"),
    "sgd": ("$w$", "$x_a$, 1", "$e_b$", "$-\\eta\\, e_b x_a$"),
    "matrix": ("$s$", "$x_a + \\mathrm{fwd}_a$", "\u2013", "$\\tanh(sW + \\ldots)$"),
}
SERIES: dict[str, tuple[str, float, dict[str, Any]]] = {  # in the table: name, offset within the row, and look
    "prediction_deviation": ("deviation, predictions", -0.12, {"color": LOOKS["vsml"].colour, "marker": "o"}),
    "state_deviation": ("deviation, states", 0.12, {"color": LOOKS["vsml"].colour, "marker": "o", "mfc": "white"}),
    "control_deviation": ("deviation of the control", -0.12, {"color": LOOKS["sgd"].colour, "marker": "x"}),
    "learning": ("change by learning", 0.12, {"color": GREY, "marker": "s"}),
}
EQUATIONS = {
    r"$s_{ab} \leftarrow f_\mathrm{RNN}(s_{ab}, \mathrm{fwd}_a, \mathrm{bwd}_b)$": "every sub-RNN changes, by one rule",
    r"$\mathrm{up}_b = \Sigma_a f_\mathrm{fwd}(s_{ab})$": "the unit above hears its column",
    r"$\mathrm{down}_a = \Sigma_b f_\mathrm{bwd}(s_{ab})$": "the unit below hears its row",
}
BELOW, ABOVE = "#0072B2", "#D55E00"


def draw(tables: Tables, profile: Profile) -> Figure:
    arrays = tables[TABLE].arrays
    names = arrays["pair"].tolist()
    figure, top, bottom = stacked(1.5, 0.8 + 0.3 * len(names))
    grid, equations, matrix = top.subplots(1, 3, width_ratios=(1, 1.45, 0.8))
    table, dots = bottom.subplots(1, 2, sharey=True, width_ratios=(2.15, 1))
    for axes in (grid, equations, table):
        axes.set_axis_off()

    # Sub-RNNs at the crossings; what row a and column b hear and say.
    for a, b in np.ndindex(3, 4):
        fill = FAINT if (a, b) == (1, 2) else RULED
        grid.plot(b, a, marker="s", markersize=11, mec=GREY, mew=0.8, mfc=fill)
    grid.text(2, 1, "$s_{ab}$", ha="center", va="center", fontsize=6.5)
    arrow = {"arrowstyle": "-|>", "linewidth": 0.9, "shrinkA": 0, "shrinkB": 0}
    for words, place, side, start, end, colour in (
        (r"$\mathrm{fwd}_a$", (-1.2, 0.82), "right", (-1.1, 0.87), (-0.35, 0.87), BELOW),
        (r"$\mathrm{down}_a$", (-1.2, 1.25), "right", (-0.35, 1.13), (-1.1, 1.13), ABOVE),
        (r"$\mathrm{bwd}_b$", (1.75, 3.0), "right", (1.87, 3.15), (1.87, 2.4), ABOVE),
        (r"$\mathrm{up}_b$", (2.25, 3.0), "left", (2.13, 2.4), (2.13, 3.15), BELOW),
    ):
        grid.annotate("", end, start, arrowprops=arrow | {"color": colour})
        grid.text(*place, words, color=colour, ha=side, va="center")
    grid.set(xlim=(-2.6, 3.5), ylim=(-0.5, 3.3))

    for row, (formula, words) in enumerate(EQUATIONS.items()):
        equations.text(0.06, 0.93 - 0.33 * row, formula, fontsize=8, va="center")
        equations.text(0.06, 0.78 - 0.33 * row, words, fontsize=6.5, color=GREY, va="center")
    equations.set(xlim=(0, 1), ylim=(0, 1))

    # Which blocks of W~ are zero, W, C and both.
    cases = {"": "white", "$W$": ABOVE, "$C$": BELOW, "both": "black"}
    matrix.grid(False)
    matrix.imshow(np.array([to_rgb(colour) for colour in cases.values()])[arrays["cases"]], interpolation="nearest")
    matrix.set(xticks=(), yticks=(), xlabel="to connection", ylabel="from connection")
    matrix.spines[["top", "right"]].set_visible(True)
    matrix.set_title("$\\widetilde{W}$ of one big RNN", fontsize=7, fontweight="normal")
    for name in ("$W$", "$C$", "both"):
        matrix.plot([], [], linestyle="none", marker="s", markersize=4, color=cases[name], label=name)
    matrix.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), handletextpad=0.1)

    # What an instance is, and by how much it deviates in each episode; a row each.
    for x, words in COLUMNS.items():
        table.text(x, -0.75, words, va="bottom", fontsize=6.5, color=GREY)
    for row, name in enumerate(names):
        for x, words in zip(COLUMNS, (PAIRS[name].method, *ROWS[name]), strict=True):
            table.text(x, row, words, va="center", fontsize=6.8)
        for axes in (table, dots) if row else ():
            axes.axhline(row - 0.5, color=RULED, linewidth=0.5)
    table.set(xlim=(0, 1), ylim=(len(names) - 0.5, -1.6))
    for metric, (name, offset, look) in SERIES.items():
        x = arrays[metric]
        y = np.repeat(np.arange(len(names)) + offset, x.shape[1])
        dots.plot(x.ravel(), y, linestyle="none", markersize=3, mew=0.7, label=name, **look)
    dots.set(xscale="log", xlabel="largest absolute value in an episode")
    dots.set_xlim(right=300)
    dots.grid(False, axis="y")
    dots.grid(True, axis="x")
    dots.tick_params(axis="y", length=0, labelleft=False)
    dots.spines["left"].set_visible(False)
    plain = {"frameon": True, "facecolor": "white", "edgecolor": "none", "framealpha": 1}  # over the grid lines
    dots.legend(loc="lower left", bbox_to_anchor=(-0.05, 0.9), ncols=2, fontsize=6, columnspacing=0.8, **plain)
    return figure
