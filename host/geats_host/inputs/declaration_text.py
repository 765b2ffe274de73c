"""The text of a configuration, with one VM more or another one: all else in it stays as it is.

Theory of operation
-------------------
Libraries that keep comments, such as ruamel.yaml, still write indentation, quotes and long lines in
their own way. So nothing is written anew: lines are put in where YAML itself says that a mapping
ends, below the comments that are indented as its last part, and the lines of one VM are cut out or
replaced. Line ends stay as they are. Then the whole is read again. If it does not say exactly what
it is to say, such as where a mapping is written in braces, it is refused, and nothing is lost.

The one exception are the volumes of a VM, or a whole VM, in brackets or braces: with a volume more,
these are written anew.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import yaml

from geats_core.declared.config import VMS
from geats_core.vm.spec import ROOT
from geats_host.errors import Refused
from geats_host.inputs.yaml_text import Loader, WrongYaml, read_yaml

GEATS = "geats"
VOLUMES = "volumes"
INDENT = 2
ANY_WIDTH = 2**31  # characters of a line
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
    end = _line_end(text)
    lines = [*_lines(text), *(_indented(NEW_FILE, 0, end) if _read(text) is None else ())]
    above = _entry(_compose("".join(lines)), GEATS)
    if above is None:
        raise _beyond()
    found = _entry(above[1], VMS)
    if found is None:
        at, column = _last_line(above[1]) + 1, above[1].start_mark.column
        lines[at:at] = _indented(f"{VMS}:", column, end)
        column += INDENT
    else:
        key, value = found
        lines[key.start_mark.line] = _without_braces(lines[key.start_mark.line], value)
        at = max(_last_line(value), key.start_mark.line)
        has_some = isinstance(value, yaml.MappingNode) and bool(value.value)
        column = value.start_mark.column if has_some else key.start_mark.column + INDENT
    at = _below_comments(lines, at, column)
    lines[at + 1 : at + 1] = _indented(yaml_of({name: raw}), column, end)
    return _checked(lines, wanted)


def text_of_vm(text: str, name: str) -> str:
    """The lines that declare a VM, with their comments. Raises ``Refused`` if it has none of its
    own."""
    block = _of_vm(text, name)
    lines = text.splitlines()[block.first : block.last + 1]
    return "".join(f"{_dedented(line, block.column)}\n" for line in lines)


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
    lines = _lines(text)
    lines[block.first : block.last + 1] = _indented(edited, block.column, _line_end(text))
    return _checked(lines, wanted)


def with_volume(text: str, name: str, volume: Mapping[str, object]) -> str:
    """The lines of one VM, as ``text_of_vm`` gives them, with one *volume* more."""
    raw = _read(text)
    keys = raw.get(name) if isinstance(raw, Mapping) else None
    before = keys.get(VOLUMES, [{"name": ROOT}]) if isinstance(keys, Mapping) else None
    vm = _entry(_compose(text), name)
    if vm is None or not isinstance(keys, Mapping) or not isinstance(before, list):
        raise _beyond()
    wanted = {name: {**keys, VOLUMES: [*before, volume]}}
    said = _text_with_volume(text, vm[1], wanted[name], volume)
    if _read(said) != wanted:
        raise _beyond()
    return said


def _text_with_volume(
    text: str, vm: yaml.Node, wanted: Mapping[str, object], volume: Mapping[str, object]
) -> str:
    """The same, unless what is there is written in an unusual way: see whether it is *wanted*."""
    if not isinstance(vm, yaml.MappingNode) or vm.flow_style:
        return _replaced(text, vm, "".join(["\n", *_indented(yaml_of(wanted), INDENT, "\n")]))
    lines, found = _lines(text), _entry(vm, VOLUMES)
    if found is None:
        column, at = vm.start_mark.column, _last_line(vm)
        more = f"{VOLUMES}:\n{' ' * INDENT}- {{name: {ROOT}}}\n{' ' * INDENT}{_item(volume)}\n"
    elif isinstance(found[1], yaml.SequenceNode) and found[1].flow_style:
        return _replaced(text, found[1], _in_a_line(wanted[VOLUMES]))
    else:
        column, at, more = found[1].start_mark.column, _last_line(found[1]), f"{_item(volume)}\n"
    at = _below_comments(lines, at, column)
    lines[at + 1 : at + 1] = _indented(more, column, _line_end(text))
    return "".join(lines)


def _item(volume: Mapping[str, object]) -> str:
    return f"- {_in_a_line(volume)}"


def _in_a_line(raw: object) -> str:
    said: str = yaml.safe_dump(
        raw, sort_keys=False, allow_unicode=True, default_flow_style=True, width=ANY_WIDTH
    )
    return said.strip()


def _replaced(text: str, node: yaml.Node, new: str) -> str:
    """*text* with *new* where the node is."""
    lines, start, end = _lines(text), node.start_mark, node.end_mark
    held = lines[start.line][: start.column]
    after = lines[end.line][end.column :] if end.line < len(lines) else ""
    is_block = new.endswith("\n")
    head = held.rstrip() + after.rstrip("\r\n") + new if is_block else held + new + after
    return "".join([*lines[: start.line], head, *lines[end.line + 1 :]])


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
    first, column = key.start_mark.line, key.start_mark.column
    last = max(_last_line(value), first)
    return _Block(first, _below_comments(_lines(text), last, column), column)


def _last_line(node: yaml.Node) -> int:
    """The last line of what a node says, without comments after it."""
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


def _below_comments(lines: Sequence[str], last: int, column: int) -> int:
    """The last line of a part whose key is at *column*, with the comments that are its own."""
    for at in range(last + 1, len(lines)):
        words = lines[at].lstrip(" ")
        if words.startswith("#") and len(lines[at]) - len(words) > column:
            last = at
        elif words.strip():
            break
    return last


def _lines(text: str) -> list[str]:
    """The lines with their ends, of which the last one has one too."""
    lines = text.splitlines(keepends=True)
    if lines and lines[-1].splitlines() == lines[-1:]:
        lines[-1] += _line_end(text)
    return lines


def _line_end(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"


def _dedented(line: str, column: int) -> str:
    indent = len(line) - len(line.lstrip(" "))
    return line[min(indent, column) :]


def _indented(text: str, column: int, end: str) -> list[str]:
    """The lines of *text*, further in, and with this end each."""
    indent = " " * column
    return [f"{indent if line.strip() else ''}{line}{end}" for line in text.splitlines()]


def _checked(lines: Sequence[str], wanted: object) -> str:
    """The text of these lines, if it says what it is to say."""
    text = "".join(lines)
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
