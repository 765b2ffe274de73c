"""A VM more, or another one, in the text of a configuration: every other byte stays."""

import pytest
import yaml

from geats_host.errors import Refused
from geats_host.inputs.declaration_text import (
    text_of_vm,
    with_text_of_vm,
    with_vm,
    with_volume,
    yaml_of,
)

FILE = """\
# the host
geats:
  vms:
    # the first
    web01:
      template: debian   # as ever
      volumes:
        - {name: root}
        - {name: data, mount: /srv}   # pictures

      metadata:
        motd: |
          hello

          you
    # the last
    db01: {template: debian}

  # and more
  templates:
    debian: {path: /srv/debian.tar}
"""
NEW = {"template": "debian", "volumes": [{"name": "root", "size": "4GiB"}]}


def test_a_vm_is_put_in_after_the_others() -> None:
    text = with_vm(FILE, "web02", NEW)
    inserted = """\
    web02:
      template: debian
      volumes:
      - {name: root, size: 4GiB}
"""
    assert text.replace(inserted, "") == FILE
    assert list(yaml.safe_load(text)["geats"]["vms"]) == ["web01", "db01", "web02"]


@pytest.mark.parametrize(
    "file",
    [
        "",
        "# nothing yet\n",
        "geats:\n",
        "geats:\n  vms:\n",
        "geats:\n  vms: {}\n  pools: {}\n",
        "geats:\n  vms: null # none\n",
        "geats:\n  pools:\n    default: {type: memory}\n# the end\n",
        "geats:\n    vms:\n        web01: {template: x}\n",
        "geats:\n  vms:\n    web01:\n      metadata:\n        a: |\n          b\n\n  pools: {}\n",
        "geats:\n  vms:\n    web01:\n    db01:\n",
    ],
)
def test_whatever_a_file_looks_like_nothing_is_lost(file: str) -> None:
    before = (yaml.safe_load(file) or {}).get("geats") or {}
    after = with_vm(file, "new", NEW)
    said = yaml.safe_load(after)["geats"]
    assert said == {**before, "vms": {**(before.get("vms") or {}), "new": NEW}}
    comments = [line.partition("#")[2] for line in file.splitlines() if "#" in line]
    assert all(each in after for each in comments)


def test_a_vm_that_is_declared_is_not_put_in_twice() -> None:
    with pytest.raises(Refused, match="web01: is declared already"):
        with_vm(FILE, "web01", NEW)


def test_the_lines_of_a_vm_come_out_and_go_in_again() -> None:
    for name in ("web01", "db01"):
        own = text_of_vm(FILE, name)
        assert yaml.safe_load(own) == {name: yaml.safe_load(FILE)["geats"]["vms"][name]}
        assert with_text_of_vm(FILE, name, own) == FILE
    edited = text_of_vm(FILE, "web01").replace("debian   # as ever", "trixie # new")
    assert with_text_of_vm(FILE, "web01", edited) == FILE.replace(
        "debian   # as ever", "trixie # new"
    )


@pytest.mark.parametrize(
    ("edited", "why"),
    [
        ("web02: {template: x}\n", "must stay the one key"),
        ("", "must stay the one key"),
        ("web01: {\n", "not valid YAML"),
        ("web01: {}\nb: {}\n", "must stay the one key"),
    ],
)
def test_what_does_not_declare_that_vm_is_refused(edited: str, why: str) -> None:
    with pytest.raises(Refused, match=why):
        with_text_of_vm(FILE, "web01", edited)


def test_what_is_not_there_or_in_braces_is_refused() -> None:
    with pytest.raises(Refused, match="is not declared"):
        text_of_vm(FILE, "nobody")
    with pytest.raises(Refused, match="write it there yourself"):
        text_of_vm("geats: {vms: {web01: {template: x}}}\n", "web01")
    with pytest.raises(Refused, match="write it there yourself"):
        with_vm("geats: [x]\n", "web01", NEW)
    for braces in ("geats: {vms: {}}\n", "geats: {vms: {web01: {}}}\n", "geats: {a: b}\n"):
        with pytest.raises(Refused, match="write it there yourself"):
            with_vm(braces, "new", NEW)
    with pytest.raises(Refused, match="not valid YAML"):
        with_vm("geats: {\n", "web01", NEW)


def test_a_volume_is_put_in_after_the_others() -> None:
    more = {"name": "old", "mount": "/old"}
    vm = with_volume(text_of_vm(FILE, "web01"), "web01", more)
    text = with_text_of_vm(FILE, "web01", vm)
    assert text.replace("        - {name: old, mount: /old}\n", "") == FILE
    assert yaml.safe_load(text)["geats"]["vms"]["web01"]["volumes"][-1] == more
    bare = with_volume("db01:\n  template: debian\n", "db01", more)
    assert yaml.safe_load(bare)["db01"]["volumes"] == [{"name": "root"}, more]


@pytest.mark.parametrize(
    ("vm", "after"),
    [
        (
            "web01: # as ever\n  volumes: [{name: root, size: 4GiB}]   # few\n  memory: 2GiB\n",
            "web01: # as ever\n  volumes: [{name: root, size: 4GiB}, {name: old}]   # few\n"
            "  memory: 2GiB\n",
        ),
        ("web01:\n  volumes: [\n    {name: root},\n  ]\n", None),
        (
            "web01: {memory: 2GiB}  # small\n",
            "web01:  # small\n  memory: 2GiB\n  volumes:\n  - {name: root}\n  - {name: old}\n",
        ),
        ("web01: {memory: 2GiB, volumes: [{name: root}, {name: a}]}\n", None),
        (
            "web01:\n  memory: 2GiB\n  # the last\n# far out\n",
            "web01:\n  memory: 2GiB\n  volumes:\n    - {name: root}\n    - {name: old}\n"
            "  # the last\n# far out\n",
        ),
        ("web01:\n  volumes:\n  - {name: root}\n    # fast\n  memory: 2GiB\n", None),
    ],
)
def test_a_volume_is_put_in_however_a_vm_is_written(vm: str, after: str | None) -> None:
    before = yaml.safe_load(vm)["web01"]
    text = with_volume(vm, "web01", {"name": "old"})
    assert text == after or after is None
    volumes = [*before.get("volumes", [{"name": "root"}]), {"name": "old"}]
    assert yaml.safe_load(text) == {"web01": {**before, "volumes": volumes}}


@pytest.mark.parametrize("vm", ["web01:\n", "web01: {volumes: none}\n", "web01:\n  volumes:\n"])
def test_a_volume_is_not_put_in_where_there_is_no_list(vm: str) -> None:
    with pytest.raises(Refused, match="write it there yourself"):
        with_volume(vm, "web01", {"name": "old"})


def test_comments_below_the_last_vm_stay_its_own() -> None:
    file = (
        "geats:\n  vms:\n    web01:\n      memory: 2GiB\n\n      # cpus: 2\n"
        "    # more of them\n  pools: {}\n"
    )
    text = with_vm(file, "new", {"template": "x"})
    assert text == file.replace("      # cpus: 2\n", "      # cpus: 2\n    new: {template: x}\n")
    assert text_of_vm(file, "web01") == "web01:\n  memory: 2GiB\n\n  # cpus: 2\n"


def test_the_ends_of_lines_stay_as_they_are() -> None:
    file = FILE.replace("\n", "\r\n")
    assert with_vm(file, "web02", NEW) == with_vm(FILE, "web02", NEW).replace("\n", "\r\n")
    own = text_of_vm(file, "web01")
    assert own == text_of_vm(FILE, "web01")
    assert with_text_of_vm(file, "web01", own) == file
    mixed = FILE.replace("# the host\n", "# the host\r\n")
    assert with_text_of_vm(mixed, "db01", "db01: {template: x}\n").count("\r\n") == 2


def test_a_vm_with_a_comment_at_the_margin_can_be_edited() -> None:
    file = "geats:\n  vms:\n    web01:\n# was 1GiB\n      memory: 2GiB\n"
    own = text_of_vm(file, "web01")
    assert own == "web01:\n# was 1GiB\n  memory: 2GiB\n"
    edited = with_text_of_vm(file, "web01", own.replace("2GiB", "3GiB"))
    assert edited == file.replace("2GiB", "3GiB").replace("# was", "    # was")


def test_yaml_is_written_as_people_write_it() -> None:
    assert yaml_of({"a": NEW}).splitlines()[-1] == "  - {name: root, size: 4GiB}"
