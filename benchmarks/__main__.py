"""`python -m benchmarks` measures this machine in half an hour, `--quick` in far less. It asserts nothing.

`--gpu` has cases for one GPU, for which they take some minutes. `--users` measures VSMLClassifier beside scikit-learn's
and river's online classifiers only, in some minutes; river where it is installed. `--items PROFILE` measures
nothing: it says where the time of a profile went (".": the default one) when `make repro` last ran each item. `--costs
PROFILE` runs nothing either: it counts what its meta-training computes, such as that of profiles/paper.
"""

import argparse
import json
import os
import platform
from pathlib import Path
from typing import Any

from pipeline.__main__ import xla_flags
from pipeline.run import artifacts

FOLDER = Path("artifacts/bench")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one small case")
    parser.add_argument("--gpu", action="store_true", help="cases for one GPU")
    parser.add_argument("--users", action="store_true", help="examples a second of VSMLClassifier only")
    parser.add_argument("--items", type=Path, metavar="PROFILE", help="seconds of its stages; such as profiles/mnist")
    parser.add_argument("--costs", type=Path, metavar="PROFILE", help="of its meta-training, by counting")
    parser.add_argument("--each", action="store_true", help="of these, a row for each experiment")
    parser.add_argument("--population", type=int, help=argparse.SUPPRESS)  # see benchmarks.evolution
    parser.add_argument("--rounds", type=int, default=5, help="measurements of each form, taken in turns")
    options = parser.parse_args()
    os.environ["XLA_FLAGS"] = xla_flags()  # as the pipeline runs
    from benchmarks import items

    if options.items:
        os.chdir(options.items)
        return print(items.table(options.each))
    if options.costs:
        from benchmarks import costs

        return print(costs.table(options.costs))
    from benchmarks import evolution

    if options.population:
        evolution.main(options.population, options.rounds, options.gpu)
    elif options.users:
        artifacts.write_text(FOLDER / "users.json", json.dumps(_users(options.quick, options.rounds), indent=1) + "\n")
        print(f"Written: {FOLDER}/users.json")
    else:
        _all(options.quick, options.gpu, 3 if options.quick else options.rounds)


def _all(quick: bool, gpu: bool, rounds: int) -> None:
    from benchmarks import cases, evolution, figure
    from benchmarks.ceilings import PER_TICK, ceilings, least_ns, over_the_least
    from benchmarks.measure import race
    from pipeline.show import style

    found = ceilings()
    result: dict[str, Any] = {"machine": _machine(), "ceilings": found, "tick": PER_TICK, "least_ns": least_ns(found)}
    result["races"] = []
    for case in cases.QUICK if quick else cases.GPU if gpu else cases.CASES:
        row = race(case, 0.1 if quick else 0.25, rounds)
        row["over_the_least"] = over_the_least(row["ns_per_tick"], found)
        result["races"].append(row)
        print(_line(row), flush=True)
        artifacts.write_text(FOLDER / "bench.json", json.dumps(result, indent=1) + "\n")  # a later case may not fit
    populations = evolution.setting(gpu).populations[: 1 if quick else None]
    result["evolution"] = [evolution.in_a_process(population, 3, gpu) for population in populations]
    for row in result["evolution"]:
        print(
            f"ES of {row['population']}: {row['meta_steps_per_s']:.2f} meta-steps/s, "
            f"{row['episodes_per_s']:.0f} episodes/s of {evolution.LENGTH} examples, "
            f"{(row['working_bytes'] or 0) / 2**20:.1f} MiB of working memory, "
            f"peak {(row['peak_bytes'] - row['peak_bytes_before']) / 2**20:.0f} MiB above the start",
            flush=True,
        )
    result |= {} if gpu else _users(quick, rounds)
    artifacts.write_text(FOLDER / "bench.json", json.dumps(result, indent=1) + "\n")
    style.save(figure.draw(result), FOLDER / "bench.png")
    print(f"Written: {FOLDER}/bench.json, {FOLDER}/bench.png")


def _users(quick: bool, rounds: int) -> dict[str, Any]:
    from benchmarks import users

    rows = []
    for case in users.QUICK if quick else users.CASES:
        rows.append(row := users.race(case, rounds))
        print(row["case"])
        for name, rates in row["examples_per_s"].items():
            times = row["times_as_many"].get(name, {})
            cells = [f"{what} {rate[1]:9,.0f}/s" + _times(times.get(what)) for what, rate in rates.items()]
            print(f"  {name:34s} {'; '.join(cells)}", flush=True)
    return {"users": rows}


def _times(ratio: list[float] | None) -> str:
    return "" if ratio is None else f" ({ratio[1]:.2f}x [{ratio[0]:.2f}, {ratio[2]:.2f}])"


def _line(row: dict[str, Any]) -> str:
    ns, faster = row["ns_per_tick"], row["speed_up"]
    parts = [
        f"{what} {ns[f'plain {what}'][1]:7.1f} -> {ns[f'ours {what}'][1]:6.1f} ns, "
        f"{faster[what][1]:.2f}x [{faster[what][0]:.2f}, {faster[what][2]:.2f}]"
        for what in ("forward", "gradient")
    ]
    least = ", ".join(f"{times:.2f}" for times in row["over_the_least"]["ours"].values())
    off = f"{row['differs_by']['loss']:.0e}, {row['differs_by']['gradient']:.0e}"
    return f"{row['case']:26s} {'; '.join(parts)}; {least} times the least; differs by {off}"


def _machine() -> dict[str, Any]:
    import jax

    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    models = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return {
        "cpu": models[0] if models else platform.processor(),
        "cores": os.cpu_count(),
        "load_at_start": os.getloadavg(),
        "jax": jax.__version__,
        "devices": [device.device_kind for device in jax.devices()],
        "xla_flags": os.environ["XLA_FLAGS"],
    }


if __name__ == "__main__":
    main()
