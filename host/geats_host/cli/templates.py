"""The commands that manage templates: ``geats templates ...``."""

import sys

import click

from geats_host.cli.commands import Group
from geats_host.cli.lists import answer_rows, as_list, as_rows, end_with
from geats_host.cli.plans import dry_run_option
from geats_host.cli.session import FAILED, Session, in_session
from geats_host.errors import HostError, Refused
from geats_host.templates import searching
from geats_host.templates.upkeep import Report

SHOWN_OF_KEY = 12
NONE = "There are no templates: 'geats help templates' shows how to declare one."


@click.group(cls=Group)
def templates() -> None:
    """List, search, import, verify and prune templates."""


@templates.command("list")
@as_list
@in_session
def list_(session: Session) -> None:
    """List every declared template, and the pools in which it is unpacked."""
    report = session.host.templates.listed()
    rows = [
        {"template": name, **row, "pools": _copies(row), "key": _key(row)}
        for name, row in report.items()
    ]
    columns = ("template", "source", "from", "pools", "key")
    answer_rows(session, report, columns, rows, NONE)


@templates.command()
@as_list
@click.argument("words", nargs=-1)
@click.option("--url", "urls", multiple=True, help="An image server (default: those declared).")
@click.option("--arch", help="An architecture, or 'all' (default: that of this host).")
@in_session
def search(
    session: Session, words: tuple[str, ...], urls: tuple[str, ...], arch: str | None
) -> None:
    """List images of image servers, with all WORDS in their names: the newest version of each.

    A server speaks simplestreams, as those of LXC, Incus, LXD and Ubuntu do. If one does not
    answer, the others are still asked.
    """
    declared = {} if urls and session.unconfigured else session.config.templates
    rows, failed = searching.search(declared, list(words), list(urls), arch)
    columns = ("image", "version", "kinds", "size_bytes", "arch", "url")

    def more() -> None:
        if rows:
            click.echo(_declares(rows[0]))

    if rows or not failed or session.as_json:
        answer_rows(session, rows, columns, rows, "No image has these words.", more=more)
    if failed:
        click.echo("\n".join(map("failed: {}".format, failed)), err=True)
        sys.exit(FAILED)


def _declares(row: Report) -> str:
    """What is written to have an image as a template."""
    disk = "" if "tree" in f"{row['kinds']}" else ", kind: disk"
    source = f"{{url: '{row['url']}', alias: {row['image']}{disk}}}"
    return f"To have one: templates: {{NAME: {{simplestreams: {source}}}}}"


@templates.command("import")
@as_rows
@click.argument("names", nargs=-1)
@click.option("--refresh", is_flag=True, help="Look for a newer image, or build again.")
@dry_run_option
@in_session
def import_(session: Session, names: tuple[str, ...], refresh: bool, dry_run: bool) -> None:
    """Prepare templates before VMs need them: download or build them, and unpack them in pools.

    Without NAMES: every declared template. In pools that cannot clone, nothing is unpacked. If one
    template fails, the others are still imported.
    """
    upkeep, what = session.host.templates, "to do" if dry_run else "done"
    report: dict[str, object] = {}
    failed: list[str] = []
    for name in names or upkeep.declared:
        try:
            report[name] = (
                upkeep.missing(name, refresh=refresh)
                if dry_run
                else upkeep.make_ready(name, refresh=refresh)["done"]
            )
        except (Refused, HostError) as error:
            report[name] = {"failed": str(error)}
            failed.append(f"failed: {error}")
    rows = [{"template": name, what: _done(done)} for name, done in report.items()]
    answer_rows(session, report, ("template", what), rows, NONE)
    if failed:
        click.echo("\n".join(failed), err=True)
        sys.exit(FAILED)


@templates.command()
@as_rows
@in_session
def verify(session: Session) -> None:
    """Check every declared template: its files, and its unpacked copies."""
    end_with(session, session.host.templates.verified(), "all templates are sound")


@templates.command()
@as_rows
@dry_run_option
@in_session
def prune(session: Session, dry_run: bool) -> None:
    """Delete unpacked templates and files that no declared template needs."""
    report = session.host.templates.pruned(dry_run=dry_run)
    columns = ("action", "name", "pool", "reason")
    answer_rows(session, report, columns, report, "There is nothing to prune.")


def _key(row: Report) -> str:
    """The first characters of the key, or why there is none."""
    return f"{row['key']}"[:SHOWN_OF_KEY] if row["key"] else f"{row['problem']}"


def _copies(row: Report) -> list[str]:
    """The pools of a template, each with the space that its copy takes."""
    match row["pools"]:
        case dict(copies):
            return [f"{pool}: {_space(copy)}" for pool, copy in copies.items()]
        case _:
            return []


def _space(copy: object) -> str:
    match copy:
        case {"stage": "installed", "used_bytes": int(used_bytes)}:
            return f"{used_bytes / 2**20:,.1f} MiB"
        case _:
            return "half unpacked"


def _done(done: object) -> object:
    """What is shown of it in a table."""
    return "failed" if isinstance(done, dict) else done or "nothing"


COMMANDS = (templates,)
