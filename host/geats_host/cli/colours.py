"""Colours, for terminals whose users want them (see https://no-color.org)."""

import os
import sys

import click


def styled(text: str, style: str | None) -> str:
    """The text in a *style*: a colour, ``bold`` or ``dim``, or two of them such as ``bold red``."""
    if not style or not sys.stdout.isatty() or os.environ.get("NO_COLOR"):
        return text
    words = style.split()
    colour = next((word for word in words if word not in ("bold", "dim")), None)
    return click.style(text, fg=colour, bold="bold" in words or None, dim="dim" in words or None)
