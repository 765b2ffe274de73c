"""Files that describe one VM, instead of the configuration."""

from typing import BinaryIO

import click

from geats_core.reading.checked import Problem, shown
from geats_core.reading.mappings import Raw
from geats_host.errors import Refused
from geats_host.inputs.yaml_text import LARGEST_BYTES, WrongYaml, read_yaml

spec_option = click.option(
    "--spec",
    type=click.File("rb"),
    metavar="FILE",
    help="Describe the VM by this file, JSON or YAML ('-' is standard input), instead of by the "
    "configuration.",
)


def spec_in(file: BinaryIO | None, names: tuple[str, ...]) -> Raw | None:
    """What the file says of the one VM that is named; None if there is no file."""
    if file is None:
        return None
    if len(names) != 1:
        raise click.UsageError("--spec describes one VM: name it")
    try:
        raw = read_yaml(file.read(LARGEST_BYTES + 1))
    except WrongYaml as error:
        raise Refused(f"{file.name}: is not valid YAML: {error}") from None
    if not isinstance(raw, dict):
        raise Refused(Problem(file.name, f"must be a mapping of keys of a VM, got {shown(raw)}"))
    return raw
