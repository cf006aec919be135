"""VSML against the best of SGD and the best of Adam: who wins where, in numbers and in words. Reads results only."""

from collections.abc import Mapping

from pipeline.results import HORIZONS, META_TRAINED_ON, PAPER_RATES, RULE, Results, in_order

NAMES = {
    RULE: "VSML",
    "sgd": "SGD",
    "sgd_hidden": "SGD, hidden",
    "sgd_paper": "SGD, paper\u2019s rate",
    "adam": "Adam",
    "adam_hidden": "Adam, hidden",
    "adam_paper": "Adam, paper\u2019s rate",
}
FAMILIES = {"VSML": (RULE,), "SGD": ("sgd", "sgd_hidden"), "Adam": ("adam", "adam_hidden")}
AT_PAPER_RATES = {"VSML": (RULE,), "SGD": ("sgd_paper",), "Adam": ("adam_paper",)}
MOMENTS = (*HORIZONS, None)  # in examples; None is the end of the life


def datasets(results: Results) -> list[str]:
    return in_order(name.split("/")[0] for name in results if "/cumulative@" in name)


def length(results: Results, dataset: str) -> int:
    """How many examples a life on `dataset` has."""
    return max(int(name.partition("@")[2]) for name in results if name.startswith(f"{dataset}/{RULE}/cumulative@"))


def accuracy(results: Results, dataset: str, learner: str, moment: int | None) -> dict | None:
    """The cumulative accuracy at `moment`; None if lives on `dataset` are shorter."""
    return results.get(f"{dataset}/{learner}/cumulative@{moment or length(results, dataset)}")


def best(
    results: Results, dataset: str, moment: int | None, members_of: Mapping[str, tuple[str, ...]] = FAMILIES
) -> dict[str, dict]:
    """By family, the accuracy of its best member in hindsight, with its name; empty if lives are shorter.

    SGD and Adam have two members each: a linear model and one with a hidden layer. With `AT_PAPER_RATES` they have
    one, linear, whose rate was fixed beforehand.
    """
    families = {}
    for family, members in members_of.items():
        found = [(name, accuracy(results, dataset, name, moment)) for name in members]
        entries = [entry | {"learner": name} for name, entry in found if entry is not None]
        if entries:
            families[family] = max(entries, key=lambda entry: entry["value"])
    return families


def winners(families: dict[str, dict]) -> list[str]:
    """The families with the highest mean: one, or several if they are equal."""
    return [family for family in families if families[family]["value"] == max(f["value"] for f in families.values())]


def verdict(results: Results, members_of: Mapping[str, tuple[str, ...]] = FAMILIES) -> str:
    """One plain sentence for each moment that any life reaches: on which sets SGD or Adam wins."""
    sentences = []
    for moment in MOMENTS:
        every = {dataset: best(results, dataset, moment, members_of) for dataset in datasets(results)}
        families = {dataset: found for dataset, found in every.items() if len(found) > 1}
        if families:
            sentences.append(f"{when(moment).capitalize()}, {_lost(families)}")
    return " ".join(sentences)


def verdict_at_paper_rates(results: Results) -> str:
    """The same against the fixed learning rates of the paper, which were chosen for other data than these."""
    rates = ", ".join(f"{NAMES[name]} {rate:g}" for name, rate in PAPER_RATES.items())
    words = verdict(results, AT_PAPER_RATES)
    return f"At the paper\u2019s fixed rates ({rates}; linear): {words}" if words else ""


def when(moment: int | None) -> str:
    return "at the end of the life" if moment is None else f"after {moment} examples"


def title(dataset: str) -> str:
    return dataset.replace("_", " ").capitalize()


def kinship(dataset: str) -> str:
    """How well meta-training knew the set."""
    return "unseen images" if dataset == META_TRAINED_ON else "never seen"


def plus_minus(entry: dict) -> str:
    return f"{entry['value']:.2f}" + ("" if entry["sd"] is None else f" ± {entry['sd']:.2f}")


def _lost(families: dict[str, dict[str, dict]]) -> str:
    lost = [
        f"{title(dataset)} ({ahead[0]} {found[ahead[0]]['value']:.3f}, VSML {found['VSML']['value']:.3f})"
        for dataset, found in families.items()
        if "VSML" not in (ahead := winners(found))
    ]
    if not lost:
        return f"SGD or Adam wins on none of {len(families)} sets."
    return f"SGD or Adam wins on {len(lost)} of {len(families)} sets: {', '.join(lost)}."
