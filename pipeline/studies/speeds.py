"""The table of docs/speed.md that says how fast a rule is as users run it, beside other libraries' classifiers."""

from typing import Any

from pipeline.show.display import Table


def users(bench: dict[str, Any]) -> dict[str, str]:
    """Examples a second by stream and model, as Markdown; of docs/bench.json."""
    races = bench["users"]
    names = list(dict.fromkeys(name for race in races for name in race["examples_per_s"]))

    def table(what: str) -> str:
        rates = [[race["examples_per_s"].get(name, {}).get(what) for name in names] for race in races]
        rows = [
            [race["case"], *(f"{rate[1]:,.0f}" if rate else None for rate in own)]
            for race, own in zip(races, rates, strict=True)
        ]
        return Table(("Stream", *names), rows).markdown()

    return {what: table(what) for what in ("learn", "predict")}
