"""The numbers of the card of a clone of backpropagation, and of one that was meta-trained further."""

from pipeline.show import figures
from pipeline.show.measures import summary
from pipeline.studies.cards import Card, Item, plus_minus
from pipeline.studies.cloning.measures import tested, words


def card(item: Item) -> Card:
    improved, learner = item.stage == "improve", "improved" if item.stage == "improve" else "clone"
    section, further = item.settings.clone, item.settings.improve
    if improved:
        episodes = " and ".join(f"{one.population} of {one.length} examples" for one in further.episodes)
        phases = [["whole episodes", str(further.steps), f"{episodes} of {further.set}, for their accuracy"]]
    else:
        random, shadow = section.random, section.shadow
        connections = f"{random.population} x {random.connections} random connections for {random.length} examples"
        layers = "-".join(map(str, shadow.hidden_layers))
        beside = f"{shadow.population} networks ({layers} hidden units) for {shadow.length} examples of {shadow.set}"
        phases = [["coarse", str(random.coarse), connections], ["fine", str(random.fine), connections]]
        phases.append(["beside a network", str(shadow.steps), beside])
    rows = []
    for task, every in tested(figures.read((f"clone_test/{item.seed}.npz",))).items():
        early, own, sgd = every.early(learner), every.on_test_images(learner), every.on_test_images("sgd")
        entries = [summary(values) for values in (early, own[..., -1], sgd[..., -1], every.agree[..., -1])]
        rows.append([words(task), *map(plus_minus, entries), str(entries[0]["n"])])
    optimizer = further.optimizer if improved else section.optimizer
    return Card("cloning", {"improved": improved, "optimizer": optimizer, "phases": phases, "accuracies": rows})
