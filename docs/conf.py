"""Sphinx's configuration; build with ``sphinx-build -W docs docs/_build/html``."""

from importlib.metadata import version as installed_version

project = "geats"
author = "the geats authors"
version = release = installed_version("geats")
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinxcontrib.mermaid"]
included = ["actions.md", "costs.md", "host-plan.md", "power-actions.md"]  # by other pages
exclude_patterns = ["_build", *included]
html_theme = "alabaster"
add_module_names = False
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
myst_fence_as_directive = ["mermaid"]
myst_heading_anchors = 2
