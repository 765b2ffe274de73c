"""The commands that change what is declared, and then the VM: ``create`` and ``edit``."""

import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import mkstemp

import click

from geats_core.declared.config import VMS
from geats_core.planning.goal import Target
from geats_core.plans.plan_files import SavedPlan
from geats_core.reading import fields
from geats_core.vm.spec import ROOT
from geats_host.calls import reports
from geats_host.cli import plan_view
from geats_host.cli.copies import changes_of, set_option
from geats_host.cli.plans import apply_saved, dry_run_option, yes_option
from geats_host.cli.session import REFUSED, Session, in_session
from geats_host.errors import HostError, Refused, accepted
from geats_host.inputs.declaration_files import DeclarationFile
from geats_host.inputs.declaration_text import text_of_vm, with_text_of_vm, with_vm, yaml_of
from geats_host.inputs.text_files import read_text
from geats_host.inputs.yaml_text import read_yaml
from geats_host.planning.goals import wishes
from geats_host.planning.plans import plan_wishes

KEPT = "what you wrote is kept in"
OF_ROOT = {"disk": "size", "pool": "pool"}  # options: keys of the root volume
OF_NIC = {"bridge": "bridge", "address": "addresses", "gateway": "gateways"}


@dataclass(frozen=True, slots=True)
class Changed:
    """A configuration that was changed, but not written yet: what it declares, and the plan."""

    session: Session
    file: DeclarationFile
    text: str
    made: SavedPlan

    @classmethod
    def of(
        cls,
        session: Session,
        file: DeclarationFile,
        text: str,
        name: str,
        target: Target = Target.DECLARED,
    ) -> "Changed":
        """The plan for *name* with the configuration *text*; refused if there is none."""
        whole = read_yaml(text)
        then = replace(session)
        vars(then)["raw"] = whole.get("geats") if isinstance(whole, Mapping) else whole
        made = plan_wishes(then.host, wishes({"target": str(target)}, (name,)))
        if name in made.refused:
            raise Refused(*made.refused[name])
        return cls(then, file, text, made)

    def show(self) -> None:
        """The plan, as ``geats plan`` shows it."""
        if self.session.as_json:
            click.echo(json.dumps(reports.host_plan_report(self.made), indent=2))
        else:
            plan_view.show_plan(self.made)

    def agreed(self, *, yes: bool) -> bool:
        """Whether a person at a terminal agrees to the plan; elsewhere nobody is asked."""
        if yes or self.session.as_json or not (sys.stdin.isatty() and sys.stdout.isatty()):
            return True
        self.show()
        return click.confirm(f"Write this to {self.file.path}, and apply the plan?")

    def carry_out(self, *, yes: bool, dry_run: bool) -> None:
        """Write the configuration, if a person agrees, and apply the plan; or only show that."""
        if dry_run:
            self.show()
        elif self.agreed(yes=yes):
            self.file.replace(self.text)
            apply_saved(self.session, self.made)
        else:
            sys.exit(REFUSED)


@click.command()
@click.argument("name")
@click.option("--template", help="What its root is installed from (or a --profile says it).")
@click.option("--profile", help="The profile that has its other keys.")
@click.option("--driver", help="What runs it, such as lxc or kvm.")
@click.option("--memory", metavar="SIZE", help="Its memory, such as 512MiB.")
@click.option("--cpus", type=click.FloatRange(0, min_open=True), help="How many CPUs, such as 1.5.")
@click.option("--disk", metavar="SIZE", help="The size of its root volume, such as 4GiB.")
@click.option("--pool", help="The pool of its root volume.")
@click.option("--bridge", help="The bridge of its NIC eth0.")
@click.option("--address", multiple=True, metavar="IP/PREFIX", help="An address of its NIC.")
@click.option("--gateway", multiple=True, metavar="IP", help="A gateway of its NIC.")
@set_option
@click.option("--no-start", is_flag=True, help="Provision it only. The next apply starts it.")
@yes_option
@dry_run_option
@in_session
def create(
    session: Session,
    /,
    name: str,
    changes: tuple[str, ...],
    no_start: bool,
    yes: bool,
    dry_run: bool,
    **keys: object,
) -> None:
    """Declare a VM in the configuration, and create it.

    The keys are put into the configuration after those of the other VMs, and all else in it stays
    as it is, comments too. On a terminal, the plan is shown first, and nothing is written without
    your consent. With --dry-run, what would be written is shown as well.
    """
    accepted(fields.vm_name("name", name))
    raw = {**_declaration(keys), **changes_of(changes)}
    file = DeclarationFile.at(session.file)
    try:
        text = with_vm(file.text, name, raw)
    except Refused as refused:
        would = yaml_of({VMS: {name: raw}})
        raise Refused(*refused.found, f"{file.path}: it would be:\n{would}") from None
    if session.host.observe(name).exists:
        raise Refused(f"{name}: is on this host already: geats show {name}, or geats adopt {name}")
    target = Target.PROVISIONED if no_start else Target.DECLARED
    changed = Changed.of(session, file, text, name, target)
    if dry_run and not session.as_json:
        click.echo(yaml_of({VMS: {name: raw}}))
    changed.carry_out(yes=yes, dry_run=dry_run)


def _declaration(keys: Mapping[str, object]) -> dict[str, object]:
    """The keys of a VM, from the options that were given."""
    given = {key: _plain(value) for key, value in keys.items() if value not in (None, ())}
    root = {key: given.pop(option) for option, key in OF_ROOT.items() if option in given}
    nic = {key: given.pop(option) for option, key in OF_NIC.items() if option in given}
    volumes = {"volumes": [{"name": ROOT, **root}]} if root else {}
    return {**given, **volumes, **({"nics": [{"name": "eth0", **nic}]} if nic else {})}


def _plain(value: object) -> object:
    """An option as YAML has it."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return list(value) if isinstance(value, tuple) else value


@click.command()
@click.argument("name")
@yes_option
@dry_run_option
@in_session
def edit(session: Session, name: str, yes: bool, dry_run: bool) -> None:
    """Edit what declares a VM in $EDITOR, and apply it.

    What is wrong is shown, and can be corrected. On a terminal, the plan is shown first, and
    nothing is written without your consent. What you wrote is kept, if it is not applied.
    """
    file = DeclarationFile.at(session.file)
    before = text_of_vm(file.text, name)
    draft = _draft(name, before)
    with _told_of(draft):
        changed = _edited(session, file, name, draft, before)
    if changed is None:
        draft.unlink()
        click.echo("nothing was changed")
        return
    if dry_run:
        changed.show()
    with _told_of(draft):
        is_agreed = not dry_run and changed.agreed(yes=yes)
    if not is_agreed:
        click.echo(f"nothing was written; {KEPT} {draft}", err=True)
        sys.exit(0 if dry_run else REFUSED)
    try:
        changed.file.replace(changed.text)
    except (Refused, HostError) as error:
        raise type(error)(f"{error}; {KEPT} {draft}") from None
    draft.unlink()
    apply_saved(changed.session, changed.made)


def _draft(name: str, text: str) -> Path:
    """A file of the user alone, because what declares a VM may have secrets in it."""
    descriptor, path = mkstemp(prefix=f"geats-{name}-", suffix=".yaml")
    with os.fdopen(descriptor, "wb") as opened:
        opened.write(text.encode())
    return Path(path)


@contextmanager
def _told_of(draft: Path) -> Iterator[None]:
    """Whatever ends the block, such as an editor that fails: the user is told of the draft."""
    try:
        yield
    except Refused:  # it says so itself
        raise
    except BaseException:
        click.echo(f"{KEPT} {draft}", err=True)
        raise


def _edited(
    session: Session, file: DeclarationFile, name: str, draft: Path, before: str
) -> Changed | None:
    """What came of editing; None if nothing was changed. What is wrong can be edited again."""
    while True:
        click.edit(filename=str(draft))
        try:
            edited = read_text(draft)
            if edited == before:
                return None
            text = with_text_of_vm(file.text, name, edited)
            return Changed.of(session, file, text, name)
        except Refused as refused:
            kept = Refused(*refused.found, f"{name}: nothing was written; {KEPT} {draft}")
            if not sys.stdin.isatty():
                raise kept from None
            click.echo("\n".join(f"refused: {each}" for each in refused.problems), err=True)
            if not click.confirm("Edit it again?", default=True):
                raise kept from None


COMMANDS = (create, edit)
