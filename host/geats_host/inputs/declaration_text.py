"""The text of a configuration, with one VM more or another one: all else in it stays as it is.

Theory of operation
-------------------
No library for YAML writes a file as a person wrote it. So nothing is written anew: lines are put
in where YAML itself says that a mapping ends, and the lines of one VM are cut out or replaced. Then
the whole is read again. If it does not say exactly what it is to say, such as where a mapping is
written in braces, it is refused, and nothing is lost.
"""

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import yaml

from geats_core.declared.config import VMS
from geats_host.errors import Refused
from geats_host.inputs.yaml_text import Loader, WrongYaml, read_yaml

GEATS = "geats"
INDENT = 2
NEW_FILE = f"{GEATS}:\n{' ' * INDENT}{VMS}:\n"


@dataclass(frozen=True, slots=True)
class _Block:
    """Lines ``first`` to ``last`` of a text, of which the key stands at ``column``."""

    first: int
    last: int
    column: int


def yaml_of(raw: object) -> str:
    """*raw* as a person would write it; short lists and mappings in a line."""
    return yaml.safe_dump(raw, sort_keys=False, allow_unicode=True, default_flow_style=None)


def with_vm(text: str, name: str, raw: Mapping[str, object]) -> str:
    """*text* with the VM *name* declared after the others. Raises ``Refused`` if that is beyond
    it."""
    said = _said(text)
    vms = said.get(VMS) or {}
    if not isinstance(vms, Mapping) or name in vms:
        raise Refused(f"{name}: is declared already: geats edit {name} changes it")
    wanted = {**said, VMS: {**vms, name: raw}}
    lines = [*text.splitlines(), *(NEW_FILE.splitlines() if _read(text) is None else ())]
    above = _entry(_compose("\n".join(lines)), GEATS)
    if above is None:
        raise _beyond()
    found = _entry(above[1], VMS)
    if found is None:
        at, column = _last_line(above[1]) + 1, above[1].start_mark.column
        lines.insert(at, f"{' ' * column}{VMS}:")
        column += INDENT
    else:
        key, value = found
        lines[key.start_mark.line] = _without_braces(lines[key.start_mark.line], value)
        at = max(_last_line(value), key.start_mark.line)
        has_some = isinstance(value, yaml.MappingNode) and bool(value.value)
        column = value.start_mark.column if has_some else key.start_mark.column + INDENT
    lines[at + 1 : at + 1] = _indented(yaml_of({name: raw}), column)
    return _checked(lines, wanted)


def text_of_vm(text: str, name: str) -> str:
    """The lines that declare a VM, with their comments. Raises ``Refused`` if it has none of its
    own."""
    block = _of_vm(text, name)
    lines = text.splitlines()[block.first : block.last + 1]
    return textwrap.dedent("\n".join(lines)) + "\n"


def with_text_of_vm(text: str, name: str, edited: str) -> str:
    """*text* where the lines that declare a VM are *edited*. Raises ``Refused`` if these are no
    YAML, or declare another VM than this one."""
    block = _of_vm(text, name)
    raw = _read(edited)
    if not isinstance(raw, Mapping) or list(raw) != [name]:
        raise Refused(f"{name}: must stay the one key, with everything under it")
    said = _said(text)
    vms = said[VMS]
    wanted = {**said, VMS: {**vms, **raw}} if isinstance(vms, Mapping) else said
    lines = text.splitlines()
    lines[block.first : block.last + 1] = _indented(edited, block.column)
    return _checked(lines, wanted)


def with_volume(text: str, name: str, volume: Mapping[str, object]) -> str:
    """The lines of one VM, as ``text_of_vm`` gives them, with one *volume* more."""
    vm = _entry(_compose(text), name)
    lines = text.splitlines()
    item = f"- {yaml.safe_dump(volume, sort_keys=False, default_flow_style=True).strip()}"
    found = vm and _entry(vm[1], "volumes")
    if vm is None:
        raise _beyond()
    if found is None:
        column, at = vm[1].start_mark.column, _last_line(vm[1])
        more = [" " * column + "volumes:", " " * (column + INDENT) + "- {name: root}"]
        lines[at + 1 : at + 1] = [*more, " " * (column + INDENT) + item]
    else:
        lines.insert(_last_line(found[1]) + 1, " " * found[1].start_mark.column + item)
    return "\n".join(lines) + "\n"


def _said(text: str) -> Mapping[object, object]:
    whole = _read(text)
    said = whole.get(GEATS) if isinstance(whole, Mapping) else whole
    if said is not None and not isinstance(said, Mapping):
        raise _beyond()
    return said or {}


def _read(text: str) -> object:
    try:
        return read_yaml(text)
    except WrongYaml as error:
        raise Refused(f"it is not valid YAML: {error}") from None


def _compose(text: str) -> yaml.Node | None:
    loader = Loader(text)
    try:
        node: yaml.Node | None = loader.get_single_node()
        return node
    finally:
        loader.dispose()


def _entry(mapping: yaml.Node | None, key: str) -> tuple[yaml.Node, yaml.Node] | None:
    """The nodes of a key and of its value."""
    entries = mapping.value if isinstance(mapping, yaml.MappingNode) else ()
    return next(((k, v) for k, v in entries if k.value == key), None)


def _of_vm(text: str, name: str) -> _Block:
    above = _entry(_compose(text), GEATS)
    vms = above and _entry(above[1], VMS)
    found = vms and _entry(vms[1], name)
    if not vms or not found:
        raise Refused(f"{name}: is not declared: geats show {name} prints what would declare it")
    if not isinstance(vms[1], yaml.MappingNode) or vms[1].flow_style:
        raise _beyond()
    key, value = found
    return _Block(
        key.start_mark.line, max(_last_line(value), key.start_mark.line), key.start_mark.column
    )


def _last_line(node: yaml.Node) -> int:
    """The last line of what a node says; comments after it belong to nobody."""
    if isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        last = node.value[-1]
        return _last_line(last[1] if isinstance(last, tuple) else last)
    is_below = node.end_mark.column == 0 and node.end_mark.line > node.start_mark.line
    return int(node.end_mark.line) - is_below


def _without_braces(line: str, value: yaml.Node) -> str:
    """The line of a key, without the ``{}`` or ``null`` that stands for nothing."""
    if value.value and not (isinstance(value, yaml.ScalarNode) and value.tag.endswith("null")):
        return line
    return line[: value.start_mark.column].rstrip() + line[value.end_mark.column :]


def _indented(text: str, column: int) -> list[str]:
    return textwrap.indent(text, " " * column).splitlines()


def _checked(lines: Sequence[str], wanted: object) -> str:
    """The text of these lines, if it says what it is to say."""
    text = "\n".join(lines) + "\n"
    try:
        said = read_yaml(text)
    except WrongYaml:
        raise _beyond() from None
    if said != {GEATS: wanted}:
        raise _beyond()
    return text


def _beyond() -> Refused:
    return Refused(
        "the configuration is written in a way that geats cannot change: write it there yourself"
    )
