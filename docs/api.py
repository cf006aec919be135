"""`make api` writes a page for every module of `vsml`, made from its docstrings, into artifacts/api."""

import pkgutil
from pathlib import Path

import pdoc

import vsml

for name in vsml.__all__:  # what `import vsml` leaves for later has a page too
    setattr(vsml, name, getattr(vsml, name))
rooms = [f"vsml.{room.name}" for room in pkgutil.iter_modules(vsml.__path__)]  # of which `pdoc` finds the modules
pdoc.pdoc("vsml", *rooms, output_directory=Path(__file__).parents[1] / "artifacts/api")
