"""The card of a clone of backpropagation, and of one that was meta-trained further."""

from pipeline.run.params import plain
from pipeline.show import figures
from pipeline.show.display import Table
from pipeline.show.measures import summary
from pipeline.studies.cards import Card, Item, plus_minus
from pipeline.studies.cloning.measures import tested, words
from pipeline.studies.learning.words import size


def card(item: Item) -> Card:
    improved = item.stage == "improve"
    section, further = item.settings.clone, item.settings.improve
    random, shadow = section.random, section.shadow
    if improved:
        episodes = " and ".join(f"{one.population} of {one.length} examples" for one in further.episodes)
        made = [["whole episodes", str(further.steps), f"{episodes} of {further.set}, for their accuracy"]]
    else:
        connections = f"{random.population} x {random.connections} random connections for {random.length} examples"
        layers = "-".join(map(str, shadow.hidden_layers))
        beside = f"{shadow.population} networks ({layers} hidden units) for {shadow.length} examples of {shadow.set}"
        made = [["coarse", str(random.coarse), connections], ["fine", str(random.fine), connections]]
        made.append(["beside a network", str(shadow.steps), beside])
    optimizer = further.optimizer if improved else section.optimizer
    rows = []
    for task, every in tested(figures.read((f"clone_test/{item.seed}.npz",))).items():
        learner = "improved" if improved else "clone"
        own_early, own_late, sgd = every.early(learner), every.on_test_images(learner), every.on_test_images("sgd")
        entries = [summary(values) for values in (own_early, own_late[..., -1], sgd[..., -1], every.agree[..., -1])]
        rows.append([words(task), *map(plus_minus, entries), str(entries[0]["n"])])
    return Card(
        what=f"Learned to run backpropagation{' and then meta-trained further, for accuracy' if improved else ''}: "
        f"{size(item.rule.theta):,} numbers that every connection of a network shares, in which weights are states of "
        "tiny LSTMs and gradient descent happens by running forward only (VSML, arXiv 2012.14905, section 3.2). A "
        "reproduction in kind: not the authors' clone.",
        use=["predictions = rollout(rule.learner(features, classes), rule.theta, jax.random.key(0), episode)"],
        made_by=f"Settings: `{item.rule.learner}`; `rate` is that of the gradient descent that is cloned. Optimiser: "
        f"`{plain(optimizer)}`" + (f"; it started from `clone@{item.seed}`." if improved else "."),
        made=Table(("phase", "meta-steps", "a meta-step"), made).markdown("lrl"),
        fares=[
            "Accuracy early in the episode, and on unseen images at its end; there also that of gradient descent from "
            "equal initial weights, and the share of equal answers of plain clone and gradient descent: mean ± "
            "standard deviation over episodes.",
            "",
            Table(("data set, network", "early", "unseen images", "SGD", "same answer", "episodes"), rows).markdown(),
        ],
    )
