"""NICs of containers: their keys, their lines of LXC, what one VM alone has, what plans warn of."""

from dataclasses import replace
from ipaddress import ip_interface

import pytest
from returns.result import Failure, Success

from geats_core import (
    DriverFacts,
    EntryCost,
    Goal,
    HostFacts,
    Impact,
    Observation,
    Target,
    VMSpec,
    parse_vm,
    plan,
)
from geats_core.containers.live_nics import (
    LIVE_KEYS,
    LIVE_TYPES,
    BridgeFacts,
    EndSeen,
    as_seen,
    attaching,
    changing,
    configuring,
)
from geats_core.containers.nic_lines import hooks, limiting, lines
from geats_core.containers.nics import Link, Nic, NicType, Rate, host_end, veth_name
from geats_core.domains.machine_keys import LACKS_OF_NICS
from geats_core.planning.spec_changes import changes
from geats_core.planning.steps import Plan
from geats_core.plans.explain import notes
from geats_core.vm.by_hand import winning
from geats_core.vm.claims import claims
from geats_core.vm.devices import differences
from geats_core.vm.parse import to_plain

MAC = "02:00:00:00:00:01"
BRIDGED: dict[str, object] = {
    "name": "eth0",
    "bridge": "br0",
    "mac": MAC,
    "host_name": "vweb",
    "vlan": 7,
    "trunk": [8, 9],
    "mtu": 1400,
    "rate": {"in": "1MiB", "out": "20MiB"},
    "link": "down",
    "addresses": ["10.0.0.2/32"],
    "gateways": ["10.0.0.1"],
    "routes": [{"to": "10.9.0.0/16", "via": "10.0.0.1"}, {"to": "fd00::/8", "via": "fe80::1"}],
}
MACVLAN: dict[str, object] = {"name": "eth0", "type": "macvlan", "parent": "enp1s0", "mac": MAC}
ON_HOST = {key: MACVLAN[key] for key in ("name", "parent")}


def web(*nics: object) -> VMSpec:
    return parse_vm("web", {"template": "t", "nics": [*nics]}).unwrap()


def wrong(*nics: object) -> list[str]:
    match parse_vm("web", {"template": "t", "nics": [*nics]}):
        case Failure(problems):
            return [str(each) for each in problems]
        case Success():
            return []


def lines_of(raw: object) -> list[str]:
    (nic,) = web(raw).nics
    return [line.removeprefix("lxc.net.0.") for line in lines("web", 0, nic)]


def test_what_is_read_is_written_back() -> None:
    for nic in (BRIDGED, MACVLAN, {**ON_HOST, "type": "vlan", "vlan": 7}):
        spec = web(nic)
        assert parse_vm("web", to_plain(spec)) == Success(spec)
    assert "type" not in str(to_plain(web(BRIDGED))["nics"])


def test_all_of_a_nic_on_a_bridge_is_in_its_lines() -> None:
    limits = (
        "tc qdisc add dev vweb root tbf rate 1048576bps burst 65536 latency 50ms && "
        "tc qdisc add dev vweb ingress && tc filter add dev vweb parent ffff: protocol all prio 1"
        " u32 match u32 0 0 police rate 20971520bps burst 209715 drop flowid :1"
    )
    assert lines_of(BRIDGED) == [
        "type = veth",
        "link = br0",
        "veth.vlan.id = 7",
        "veth.vlan.tagged.id = 8",
        "veth.vlan.tagged.id = 9",
        "flags = up",
        "name = eth0",
        f"hwaddr = {MAC}",
        "mtu = 1400",
        "veth.pair = vweb",
        "ipv4.address = 10.0.0.2/32 0.0.0.0",
        "ipv4.gateway = 10.0.0.1",
        f"script.up = sh -c '{limits} && ip link set dev vweb down' #",
    ]
    assert [*hooks(web(BRIDGED).nics)] == [
        f"lxc.hook.start-host = nsenter -t $LXC_PID -n ip route add {to} dev eth0 #"
        for to in ("10.9.0.0/16 via 10.0.0.1", "fd00::/8 via fe80::1")
    ]


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        ({"type": "veth"}, ["type = veth", f"veth.pair = {veth_name('web', 0)}"]),
        (
            {"type": "routed", "parent": "enp1s0"},
            [
                *("type = veth", "veth.mode = router", "l2proxy = 1", "link = enp1s0"),
                f"veth.pair = {veth_name('web', 0)}",
            ],
        ),
        (
            {"type": "routed"},
            ["type = veth", "veth.mode = router", f"veth.pair = {veth_name('web', 0)}"],
        ),
        (
            {"type": "macvlan", "parent": "enp1s0"},
            ["type = macvlan", "link = enp1s0", "macvlan.mode = bridge"],
        ),
        (
            {"type": "macvlan", "parent": "enp1s0", "mode": "passthru"},
            ["type = macvlan", "link = enp1s0", "macvlan.mode = passthru"],
        ),
        (
            {"type": "ipvlan", "parent": "enp1s0"},
            ["type = ipvlan", "link = enp1s0", "ipvlan.mode = l3"],
        ),
        (
            {"type": "vlan", "parent": "enp1s0", "vlan": 7},
            ["type = vlan", "link = enp1s0", "vlan.id = 7"],
        ),
        ({"type": "physical", "parent": "enp1s0"}, ["type = phys", "link = enp1s0"]),
    ],
)
def test_each_type_has_its_lines(raw: dict[str, object], said: list[str]) -> None:
    found = lines_of({"name": "lan", **raw})
    own = [line for line in found if not line.startswith("hwaddr")]
    assert own == [*said[:-1], "flags = up", "name = lan", said[-1]] or own == [
        *said,
        "flags = up",
        "name = lan",
    ]
    assert (own == found) is (raw["type"] in ("ipvlan", "vlan", "physical"))


def test_what_a_type_does_not_have_is_refused_by_name() -> None:
    for_pairs = "is for a NIC of the type bridge or veth or routed, and it is macvlan"
    assert wrong({**BRIDGED, "type": "macvlan", "parent": "e", "vlan": "none"}) == [
        "nics[0].bridge: is for a NIC of the type bridge, and it is macvlan",
        f"nics[0].host_name: {for_pairs}",
        "nics[0].vlan: is for a NIC of the type bridge or vlan, and it is macvlan",
        "nics[0].trunk: is for a NIC of the type bridge, and it is macvlan",
        f"nics[0].rate: {for_pairs}",
        f"nics[0].link: {for_pairs}",
    ]
    assert wrong({"name": "e", "type": "vlan"}, {"name": "f", "type": "tap", "parent": "x"}) == [
        "nics[0].parent: is missing: an interface of the host",
        "nics[0].vlan: is missing: 1 to 4094",
        "nics[1].type: unknown type 'tap' (there is: bridge, ipvlan, macvlan, physical, routed,"
        " veth, vlan)",
    ]


def test_what_does_not_fit_together_is_told() -> None:
    assert wrong(
        {**MACVLAN, "mode": "l2"},
        {
            "name": "eth1",
            "bridge": "b",
            "vlan": 7,
            "trunk": [7, 8],
            "routes": [{"to": "10.0.0.0/8", "via": "fe80::1"}],
        },
        {"name": "eth2", "bridge": "b", "trunk": [8, 8]},
        {"name": "eth3", "bridge": "b", "routes": [{"to": "10.0.0.1/8", "via": "10.0.0.1"}]},
        {"name": "eth4", "bridge": "b", "routes": [{"to": 7, "via": "10.0.0.1"}]},
    ) == [
        "nics[0].mode: unknown mode 'l2' (there is: bridge, passthru, private, vepa)",
        "nics[1].trunk: must name each VLAN once, and not the one of vlan",
        "nics[1].routes[0].via: must be IPv4 as to is",
        "nics[2].trunk: must name each VLAN once, and not the one of vlan",
        "nics[3].routes[0].to: must be a network such as 10.9.0.0/16, with no bits of a host, got"
        " '10.0.0.1/8'",
        "nics[4].routes[0].to: must be a network such as 10.9.0.0/16, with no bits of a host, got"
        " 7",
    ]


def test_a_name_of_a_host_end_and_a_card_are_there_once() -> None:
    card = {"name": "eth2", "type": "physical", "parent": "enp1s0"}
    assert wrong(
        {"name": "eth0", "bridge": "b", "host_name": "v"},
        {"name": "eth1", "bridge": "b", "host_name": "v"},
        card,
        {**MACVLAN, "name": "eth3", "mode": "passthru"},
    ) == ["nics: have the host_name 'v' twice", "nics: have the parent 'enp1s0' twice"]
    assert wrong({"name": "eth0", "bridge": "b", "host_name": "v" * 16}) == [
        "nics[0].host_name: must be an interface name of 1 to 15 letters, digits, '.', '_' and '-',"
        f" got {'v' * 16!r}"
    ]


def test_digits_of_a_mac_address_are_derived_and_stay() -> None:
    (first,) = web({"name": "eth0", "bridge": "b", "mac": "00:16:3E:xx:xx:xx"}).nics
    (again,) = web({"name": "eth0", "bridge": "b", "mac": "00:16:3e:xx:xx:xx"}).nics
    (other,) = web({"name": "eth1", "bridge": "b", "mac": "00:16:3e:xx:xx:xx"}).nics
    assert first == again
    assert first.mac.startswith("00:16:3e:")
    assert first.mac != other.mac
    assert web({"name": "eth0", "bridge": "b", "mac": "xx:xx:xx:xx:xx:xx"}).nics[0].mac[1] == "2"


def test_what_only_one_vm_has_is_claimed_with_its_path() -> None:
    spec = web(
        {"name": "eth0", "bridge": "b", "host_name": "vweb", "mac": MAC},
        {"name": "eth1", "type": "vlan", "parent": "enp1s0", "vlan": 7},
        {"name": "eth2", "type": "physical", "parent": "enp2s0"},
        {"name": "eth3", "type": "veth", "mac": "02:00:00:00:00:02"},
    )
    assert [*claims("web", spec)] == [
        (("the MAC address", MAC), "nics[eth0].mac"),
        (("the interface on the host", "vweb"), "nics[eth0].host_name"),
        (("the VLAN on an interface", "enp1s0.7"), "nics[eth1].vlan"),
        (("the interface on the host", "enp2s0"), "nics[eth2].parent"),
        (("the MAC address", "02:00:00:00:00:02"), "nics[eth3].mac"),
        (("the interface on the host", veth_name("web", 3)), "nics[eth3]"),
    ]
    assert [host_end("web", at, nic) for at, nic in enumerate(spec.nics)] == [
        *("vweb", "", "", veth_name("web", 3))
    ]


def test_a_plan_warns_of_what_somebody_may_be_surprised_by() -> None:
    nics = (
        MACVLAN,
        {"name": "eth1", "type": "physical", "parent": "enp2s0"},
        {"name": "eth2", "bridge": "b"},
    )
    made = plan(Goal(name="web", spec=web(*nics), target=Target.DEFINED), Observation()).unwrap()
    assert isinstance(made, Plan)
    assert [line for line in notes(made) if line.startswith("!")] == [
        "! web.nics: guest and host do not reach each other by eth0: a macvlan does not reach the"
        " interface that it is on, enp1s0",
        "! web.nics: the host is without enp2s0 while the VM is on",
    ]


def test_a_driver_without_a_key_of_nics_says_what_to_say_instead() -> None:
    facts = HostFacts(drivers={"lxc": DriverFacts(lacks_of_nics=LACKS_OF_NICS)})
    goal = Goal(name="web", spec=web({**BRIDGED, "routes": []}), target=Target.DEFINED)
    no_key = "the driver 'lxc' has no such key:"
    assert [str(each) for each in plan(goal, Observation(), facts).failure()] == [
        f"web.nics[eth0].link: {no_key} say it as hardware.nics.eth0.link",
        f"web.nics[eth0].mtu: {no_key} say it as hardware.nics.eth0.mtu",
        f"web.nics[eth0].rate: {no_key} say it as hardware.nics.eth0.rate_in and rate_out",
        f"web.nics[eth0].trunk: {no_key} leave it out",
        f"web.nics[eth0].vlan: {no_key} say it as hardware.nics.eth0.vlan",
    ]


def test_a_line_by_hand_wins_only_over_what_is_said() -> None:
    spec = web({**BRIDGED, "link": "up"})
    over = ["lxc.net.0.mtu = 9000", "lxc.net.0.veth.vlan.id = 9", "lxc.net.0.script.up = /x"]
    nothing = ["lxc.net.0.ipv4.address = 10.0.0.3/24", "lxc.net.0.veth.mode = router"]
    nothing += ["lxc.net.1.mtu = 9000"]
    assert winning([*over, *nothing], spec) == tuple((line, "nics") for line in over)


def test_a_nic_is_a_pair_or_on_an_interface_of_the_host() -> None:
    pair = Nic(name="e", mac=MAC)
    assert (pair.is_pair, pair.takes_parent, pair.link) == (True, False, Link.UP)
    card = replace(pair, type=NicType.PHYSICAL, parent="enp1s0")
    assert (card.is_pair, card.takes_parent) == (False, True)


def test_a_nic_that_comes_has_all_at_once() -> None:
    (nic,) = web({**BRIDGED, "addresses": ["10.0.0.2/24", "fd00::2/64"]}).nics
    facts = BridgeFacts(mtu=9000, vlan=1)
    limits = [" ".join(each) for each in limiting("vweb", nic.rate)]
    assert [" ".join(each) for each in attaching("vweb", nic, 42, facts)] == [
        f"ip link add dev vweb type veth peer name eth0 address {MAC} netns 42",
        f"ip link set dev vweb address fe{MAC[2:]}",
        "ip link set dev vweb master br0",
        "ip link set dev vweb mtu 1400",
        "bridge vlan del dev vweb vid 1",
        "bridge vlan add dev vweb vid 7 pvid untagged",
        "bridge vlan add dev vweb vid 8",
        "bridge vlan add dev vweb vid 9",
        "tc qdisc del dev vweb root",
        "tc qdisc del dev vweb ingress",
        *limits,
        "ip link set dev vweb down",
    ]
    assert [" ".join(each) for each in configuring(nic, facts)] == [
        "ip link set dev eth0 mtu 1400 up",
        "ip address add 10.0.0.2/24 broadcast + dev eth0",
        "ip address add fd00::2/64 nodad dev eth0",
        "ip -4 route add default via 10.0.0.1 dev eth0 onlink",
        "ip route add 10.9.0.0/16 via 10.0.0.1 dev eth0",
        "ip route add fd00::/8 via fe80::1 dev eth0",
    ]


def test_a_nic_that_changes_has_no_more_than_that_done() -> None:
    (nic,) = web({"name": "eth0", "bridge": "br0"}).nics
    facts = BridgeFacts()
    always = ["ip link set dev e up"]
    assert [" ".join(each) for each in changing("e", "e", nic, nic, facts)] == always
    small = replace(nic, mtu=1400)
    assert [" ".join(each) for each in changing("e", "e", small, nic, facts)] == [
        "ip link set dev e mtu 1500",
        *always,
    ]
    alone = replace(nic, type=NicType.VETH, bridge="", addresses=())
    assert [" ".join(each) for each in changing("e", "new", nic, alone, facts)] == [
        "ip link set dev e down",
        "ip link set dev e name new",
        "ip link set dev new nomaster",
        *(line.replace("dev e", "dev new") for line in always),
    ]
    tagged = replace(nic, trunk=(8,))
    assert [" ".join(each) for each in changing("e", "e", tagged, nic, facts)][:2] == [
        "bridge vlan del dev e vid 8",
        "bridge vlan add dev e vid 1 pvid untagged",
    ]
    single = replace(nic, addresses=(ip_interface("10.0.0.2/32"),))
    assert ("ip", "address", "add", "10.0.0.2/32", "dev", "eth0") in configuring(single, facts)


def test_a_port_of_open_vswitch_changes_by_what_that_is_told() -> None:
    plain = Nic(name="eth0", bridge="ovs", mac=MAC)
    facts = BridgeFacts(switches=frozenset({"ovs", "ovs2"}))

    def told(old: Nic | None, new: Nic, wanted: str = "e") -> list[str]:
        commands = [" ".join(each) for each in changing("e", wanted, old, new, facts)]
        return [each for each in commands if "mtu" not in each and not each.startswith("tc")][:-1]

    clear = "ovs-vsctl clear port e tag trunks vlan_mode"
    add = "ovs-vsctl --may-exist add-port ovs e"
    assert told(None, plain) == [add, clear]
    assert told(plain, plain) == []
    assert told(plain, replace(plain, vlan=5)) == [
        clear,
        "ovs-vsctl set port e vlan_mode=access tag=5",
    ]
    assert told(plain, replace(plain, vlan=5, trunk=(7, 8)))[1:] == [
        "ovs-vsctl set port e vlan_mode=native-untagged tag=5 trunks=7,8"
    ]
    assert told(plain, replace(plain, trunk=(7,)))[1:] == [
        "ovs-vsctl set port e vlan_mode=trunk trunks=7"
    ]
    leave = "ovs-vsctl --if-exists del-port e"
    assert told(plain, replace(plain, bridge="ovs2")) == [
        leave,
        add.replace("ovs e", "ovs2 e"),
        clear,
    ]
    of_linux = replace(plain, bridge="br0")
    assert told(plain, of_linux)[:2] == [leave, "ip link set dev e master br0"]
    assert told(of_linux, plain) == ["ip link set dev e nomaster", add, clear]
    unplugged = replace(plain, bridge="", type=NicType.VETH)
    assert told(plain, unplugged)[0] == leave
    assert "nomaster" not in f"{told(plain, unplugged)}"
    assert told(plain, plain, "new") == [
        leave,
        "ip link set dev e down",
        "ip link set dev e name new",
        add.replace("ovs e", "ovs new"),
        clear.replace(" e ", " new "),
    ]


def test_only_pairs_that_are_not_routed_change_live() -> None:
    costs = {"nics": EntryCost(live=LIVE_KEYS, types=LIVE_TYPES)}
    plain = {"name": "eth0", "bridge": "br0"}
    impacts = {
        text: changes(web(*before), web(*now), costs)[0].impact
        for text, before, now in (
            ("mtu", [plain], [{**plain, "mtu": 1400}]),
            ("comes", [plain], [plain, {"name": "eth1", "type": "veth"}]),
            ("goes", [plain], []),
            ("comes first", [plain], [{"name": "eth1", "type": "veth"}, plain]),
            ("macvlan comes", [plain], [plain, {**MACVLAN, "name": "eth1"}]),
            ("macvlan changes", [MACVLAN], [{**MACVLAN, "mtu": 1400}]),
            ("address", [plain], [{**plain, "addresses": ["10.0.0.2/24"]}]),
        )
    }
    assert {text for text, impact in impacts.items() if impact is Impact.LIVE} == {
        *("mtu", "comes", "goes")
    }


def test_what_is_told_of_a_nic_that_comes_is_what_happens() -> None:
    before, now = web(), web(BRIDGED)
    assert [*differences(before, now)] == [
        "attach NIC eth0 (its guest configures it at its next start)"
    ]
    assert [*differences(before, now, configured=True)] == ["attach NIC eth0"]


BOTH: dict[str, object] = {"rate": {"in": "1MiB", "out": "1MiB"}}


def test_vlans_and_limits_are_as_their_ends_are_seen() -> None:
    nics = web(
        {"name": "eth0", "bridge": "br0", "host_name": "v0", "trunk": [8, 7]} | BOTH,
        {"name": "eth1", "bridge": "br0", "host_name": "v1", "vlan": 5},
        {"name": "eth2", "bridge": "br0", "host_name": "v2"},
        {"name": "eth3", "type": "veth", "host_name": "v3"},
    ).nics
    end = EndSeen(master="br0", mtu=1500, is_up=True, vlan=1, rate=Rate())
    both = Rate(in_bytes=1 << 20, out_bytes=1 << 20)
    known = {
        "v0": replace(end, trunk=(7, 8), rate=both),
        "v1": replace(end, vlan=5, rate=None),
        "v2": replace(end, vlan=3, usual_vlan=3),
        "v3": replace(end, master="", vlan=9),
    }
    assert as_seen("web", nics, known) == nics
    changed = {
        "v0": replace(end, trunk=(7,), rate=Rate(out_bytes=5)),
        "v1": end,
        "v2": replace(end, vlan=3),
    }
    assert as_seen("web", nics, changed) == (
        replace(nics[0], trunk=(7,), rate=Rate(out_bytes=5)),
        replace(nics[1], vlan=1),
        replace(nics[2], vlan=3),
        nics[3],
    )


def test_nics_are_as_their_ends_are_seen() -> None:
    nics = web(
        {"name": "eth0", "bridge": "br0", "host_name": "v0", "mtu": 1400},
        {"name": "eth1", "bridge": "ovs", "host_name": "v1"},
        {"name": "eth2", "type": "veth", "host_name": "v2"},
        {"name": "eth3", "bridge": "br0"},
        MACVLAN | {"name": "eth4"},
    ).nics
    ends = {
        "v0": EndSeen(master="br1", mtu=9000, is_up=True),
        "v1": EndSeen(master="ovs-system", mtu=9000, is_up=True),
        "v2": EndSeen(master="br0", mtu=1500, is_up=False),
    }
    assert as_seen("web", nics, ends) == (
        replace(nics[0], bridge="br1", mtu=9000),
        nics[1],
        replace(nics[2], link=Link.DOWN),
        *nics[3:],
    )
