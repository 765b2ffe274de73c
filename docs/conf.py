"""Sphinx's configuration; build with ``sphinx-build -W docs docs/_build/html``."""

import re
import sys
from pathlib import Path
from typing import get_args

from sphinx.application import Sphinx

from geats_core import Action
from geats_host.plugins.installed import own_version

sys.path.insert(0, str(Path(__file__).parent))
from command_reference import write_commands

project = "geats"
author = "the geats authors"
version = release = own_version()
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.graphviz"]
exclude_patterns = ["_build", "generated"]  # what other pages include
html_theme = "furo"
html_title = "geats"
html_static_path, html_css_files = ["_static"], ["geats.css"]
html_show_copyright = False  # the license says whose it is
add_module_names = False
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
graphviz_output_format = "svg"  # drawn when the pages are built, by the program `dot`
myst_enable_extensions = ["deflist"]
myst_heading_anchors = 3
maximum_signature_line_length = 90
ACTION = " | ".join(f"~geats_core.planning.actions.{kind.__name__}" for kind in get_args(Action))
PROBLEMS = "tuple[~geats_core.reading.checked.Problem, ...]"
CHECKED = re.compile(
    rf"~returns\.result\.Success\[(.+)\] \| ~returns\.result\.Failure\[{re.escape(PROBLEMS)}\]"
)


def with_aliases(*arguments: object) -> tuple[object, object]:
    """Write signatures as the code does: with Checked and Action, not with what these stand for."""
    *_, given, result = (
        _with_aliases(each) if isinstance(each, str) else each for each in arguments
    )
    return given, result


def _with_aliases(text: str) -> str:
    with_action = text.replace(ACTION, "~geats_core.Action")
    checked = CHECKED.sub(r"~geats_core.Checked[\1]", with_action)
    return checked.replace(PROBLEMS, "~geats_core.Problems")


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.connect("autodoc-process-signature", with_aliases)
    app.connect("builder-inited", lambda app: write_commands(Path(app.srcdir)))
