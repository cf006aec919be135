"""What in the states stores the association: accuracy lost by resetting channels, and what each channel follows."""

import numpy as np

from pipeline.show.looks import LOOKS
from pipeline.show.measures import summary
from pipeline.show.style import GREY, PAGE, Figure, accuracy_axis, dot, heat_map, in_rows
from pipeline.studies.learning.association import KINDS, SINGLE, accuracy_lost
from pipeline.studies.learning.tables import RULE, Profile, Tables, by_seed

NEEDS = ("introspect/vsml-*.npz",)
ALT = (
    "Heat maps with a column for each channel of the hidden and of the memory of VSML's cells, and rows for "
    "meta-seeds: above, the accuracy lost when a channel is reset after an episode; below, how closely its change in a "
    "step follows the input, the error, and their product. Beside them, the accuracy lost by resetting groups of "
    "channels."
)
CAPTION = (
    "What in the states stores the association. Left, top: accuracy on unseen images of {introspected} lost when "
    "one channel of all cells is reset after an episode, to what it was initially or to its mean over the cells; mean "
    "over {looks} episodes, a row for each seed of meta-training, since each seed numbers its channels in its own "
    "way. What costs accuracy stores what was learned, in that channel alone; what costs none may be rewritten at "
    "each input or be held elsewhere too. Left, bottom: mean absolute correlation, over the cells, of a "
    "channel\u2019s change in a step with the input below its cell, the error above it, and the product of both, "
    "the gradient of a linear weight. Brackets: the half of the memory that is random initially; all else starts "
    "at zero. Right: the same resets for groups, mean and \u00b1 1 standard deviation over episodes of all seeds."
)
WAYS = {"initial": "initial values", "mean": "mean of cells"}
GROUPS = {
    "hidden": "all hidden",
    "memory": "all memory",
    "memory_starts_random": "memory starts random",
    "memory_starts_zero": "memory starts zero",
}


def draw(tables: Tables, profile: Profile) -> Figure:
    seeds = [table.arrays for table in by_seed(tables, "introspect", RULE).values()]
    if "follows" not in seeds[0]:
        raise ValueError(f"{RULE} has no single dense layer of cells, so it has no channels to draw: drop this figure.")
    names, followed = (seeds[0][what].tolist() for what in ("reset", "followed"))
    lost = accuracy_lost(seeds)  # seed episode way reset
    alone = lost.mean(1)[:, :, [bool(SINGLE.fullmatch(name)) for name in names]]
    alone = alone.reshape(len(seeds), len(WAYS), len(KINDS), -1)
    follows = np.stack([arrays["follows"].mean(0) for arrays in seeds])  # seed what kind channel
    channels, heights = follows.shape[-1], (len(WAYS), len(followed))
    figure = Figure((PAGE, 1.5 + 0.15 * len(seeds) * sum(heights)))
    left, right = figure.subfigures(1, 2, width_ratios=(5, 2.2), squeeze=False).ravel()
    grid = left.subplots(2, 2, height_ratios=heights)

    # Maps with a column for each channel, a block of rows for each way or quantity, and in it a row for each seed.
    for panels, values, what, label, top in (
        (grid[0], alone, list(WAYS.values()), "accuracy lost", float(alone.max())),
        (grid[1], follows, followed, "|correlation|", 1.0),
    ):
        for k, axes in enumerate(panels):
            image = heat_map(axes, np.swapaxes(values[:, :, k], 0, 1).reshape(-1, channels), "Oranges", top)
            for line in range(1, len(what)):
                axes.axhline(line * len(seeds) - 0.5, color="white", linewidth=2)
            centres = np.arange(len(what)) * len(seeds) + (len(seeds) - 1) / 2
            axes.set_yticks(centres, what if k == 0 else [""] * len(what))
            axes.set_xticks(range(0, channels, max(1, channels // 8)))
            axes.tick_params(length=0)
            axes.spines[:].set_visible(False)
        left.colorbar(image, ax=list(panels), label=label, fraction=0.03, pad=0.01, aspect=12)
    for above, below, kind in zip(*grid, KINDS, strict=True):
        above.set_title(kind, pad=16)
        below.set_xlabel("channel")

    # Brackets above the memory: which half is random initially, and which is zero.
    memory = grid[0, 1]
    above = {"transform": memory.get_xaxis_transform(), "color": GREY}
    for start, words in ((0, "starts random"), (channels // 2, "starts zero")):
        ends = (start - 0.4, start + channels // 2 - 0.6)
        memory.plot(ends, (1.04, 1.04), clip_on=False, linewidth=1, **above)
        memory.text(sum(ends) / 2, 1.06, words, ha="center", va="bottom", fontsize=6.5, **above)

    axes = right.subplots()
    for w, (words, look, shift) in enumerate(
        (("initial values", LOOKS[RULE], -0.15), ("mean of cells", LOOKS["sgd"], 0.15))
    ):
        for row, group in enumerate(GROUPS):
            entry, label = summary(lost[:, :, w, names.index(group)]), words if row == 0 else None
            dot(axes, entry, row + shift, look, linestyle="none", label=label)
    axes.axvline(0, color=GREY, linewidth=0.5)
    accuracy_axis(axes, "x", (-0.15, 1.02))
    in_rows(axes, [words.replace(" ", "\n", 1) for words in GROUPS.values()], margin=0.6)
    axes.set(xlabel="accuracy lost", title="groups of channels")
    axes.legend(loc="upper center", bbox_to_anchor=(0.4, -0.16), title="reset to")
    return figure
