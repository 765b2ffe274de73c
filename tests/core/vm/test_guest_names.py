"""The files of a guest that name it: nothing is left of the host that built its template."""

import pytest

from geats_core import parse_vm
from geats_core.vm.guest_files import HOSTS, MAILNAME, guest_names, named_hosts
from geats_core.vm.spec import VMSpec

BUILT = "127.0.0.1\tlocalhost\n127.0.1.1\tbuild.corp.example build\n\n::1 localhost ip6-localhost\n"


def vm(hostname: str = "web01", *addresses: str) -> VMSpec:
    nics = [{"name": "eth0", "bridge": "br0", "addresses": [*addresses]}]
    return parse_vm("web01", {"template": "t", "hostname": hostname, "nics": nics}).unwrap()


@pytest.mark.parametrize("was", ["build", "build.corp.example", "", "other"])
def test_the_name_of_the_build_host_goes(was: str) -> None:
    assert named_hosts(BUILT, was, vm()) == BUILT.replace("build.corp.example build", "web01")


def test_a_name_with_a_domain_is_there_without_it_too() -> None:
    wanted = BUILT.replace("build.corp.example build", "web01.example.com web01")
    assert named_hosts(BUILT, "build", vm("web01.example.com")) == wanted


def test_lines_of_others_stay_and_a_second_time_changes_nothing() -> None:
    text = "# ours\n127.0.0.1 localhost build # here\n10.0.0.9 build\n10.0.0.2 build.a x\n"
    once = named_hosts(text, "build", vm("web01", "10.0.0.2/24"))
    assert once == (
        "# ours\n127.0.0.1\tweb01 localhost # here\n10.0.0.9 build\n10.0.0.2\tweb01 x\n"
    )
    assert named_hosts(once, "build", vm("web01", "10.0.0.2/24")) == once
    assert named_hosts(once, "web01", vm("web01", "10.0.0.2/24")) == once


def test_a_name_that_is_nowhere_gets_a_line_of_its_own() -> None:
    assert named_hosts("10.0.0.9 db\n", "", vm()) == "127.0.1.1\tweb01\n10.0.0.9 db\n"
    assert named_hosts("127.0.0.1 localhost\n::1 l\n", "localhost", vm()) == (
        "127.0.0.1 localhost\n127.0.1.1\tweb01\n::1 l\n"
    )
    assert named_hosts("", "build", vm()).split() == [
        *("127.0.0.1", "localhost", "127.0.1.1", "web01"),
        *("::1", "localhost", "ip6-localhost", "ip6-loopback"),
    ]


@pytest.mark.parametrize(
    ("mailname", "was", "new", "wanted"),
    [
        ("build.corp.example\n", "build", False, "web01\n"),
        ("build\n", "", True, "web01\n"),
        ("build\n", "localhost", True, "web01\n"),
        ("example.com\n", "build", True, None),
        ("example.com\n", "", False, None),
        (None, "build", True, None),
    ],
)
def test_a_mailname_follows_if_it_is_that_of_the_build_host(
    mailname: str | None, was: str, new: bool, wanted: str | None
) -> None:
    found = {HOSTS: BUILT, **({} if mailname is None else {MAILNAME: mailname})}
    assert guest_names(found, was, vm(), new=new).get(MAILNAME) == wanted


def test_what_is_right_is_not_written() -> None:
    there = {HOSTS: "127.0.1.1 web01\n", MAILNAME: "web01\n"}
    assert guest_names(there, "web01", vm(), new=False) == {}
