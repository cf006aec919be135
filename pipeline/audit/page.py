"""What an audit found, as one HTML page that needs no other file."""

from pathlib import Path

import jinja2

from pipeline.audit import publishers as data
from pipeline.audit import show
from pipeline.audit.findings import NOTED
from pipeline.audit.walk import Audit


def render(audit: Audit) -> str:
    loader, strict = jinja2.FileSystemLoader(Path(__file__).parent), jinja2.StrictUndefined
    environment = jinja2.Environment(loader=loader, autoescape=True, undefined=strict, trim_blocks=True)
    drawn = [
        {
            "name": name,
            "verdict": audit.verdict(name),
            "run": show.run(audit, name).strip(),
            "branch": "\n".join(show.branch(audit, name)),
        }
        for name in audit.drawn()
    ]
    sets = [name for name, entry in audit.entries.items() if entry.stage in data.STAGES]
    return environment.get_template("page.html").render(
        summary=show.summary(audit),
        failures=[one for one in audit.findings if one.kind != NOTED],
        notes=[one for one in audit.findings if one.kind == NOTED],
        drawn=drawn,
        publishers=show.publishers(audit, sets),
    )
