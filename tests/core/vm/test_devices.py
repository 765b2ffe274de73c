"""Devices that change while a VM is on: which they are, and what is told of them."""

from geats_core import VMSpec, parse_vm
from geats_core.vm.devices import differences, is_device, with_devices

ETH0, ETH1 = ({"name": f"eth{n}", "bridge": "br0"} for n in range(2))
LOGS = {"name": "logs", "mount": "/logs"}
RAW: dict[str, object] = {"name": "raw", "mount": "/raw"}


def web(*nics: object, volumes: list[object] | None = None, **hardware: object) -> VMSpec:
    raw = {"template": "debian", "nics": list(nics), "hardware": hardware}
    return parse_vm("web", {**raw, "volumes": [{"name": "root"}, *(volumes or [])]}).unwrap()


def test_what_is_done_to_each_device_is_told() -> None:
    static = {**ETH1, "addresses": ["10.0.0.2/24"]}
    assert [*differences(web(ETH0), web(ETH0, ETH1))] == ["attach NIC eth1"]
    assert [*differences(web(ETH0), web(ETH0, static))] == [
        "attach NIC eth1 (its guest configures it at its next start)"
    ]
    assert [*differences(web(ETH0, ETH1), web({**ETH0, "bridge": "br1"}))] == [
        "change NIC eth0",
        "detach NIC eth1",
    ]
    down = web(ETH0, nics={"eth0": {"link": False}})
    assert [*differences(web(ETH0), down)] == ["change NIC eth0"]
    assert [*differences(web(volumes=[RAW]), web(volumes=[LOGS]))] == [
        "attach volume logs (its guest configures it at its next start)",
        "detach volume raw",
    ]
    assert [*differences(web(cdrom="/a"), web(cdrom="/b", disks={"root": {}}))] == ["change cdrom"]
    assert [*differences(web(cdrom="/a", tpm=True), web(cdrom="/b", tpm=True))] == ["change cdrom"]


def test_devices_of_the_host_come_and_go_and_change() -> None:
    tun: dict[str, object] = {"tun": "/dev/net/tun"}
    less = {"tun": {"source": "/dev/net/tun", "access": "r"}}
    one, two, other = (
        parse_vm("web", {"template": "debian", "devices": each}).unwrap()
        for each in (tun, {**tun, "a": "/dev/a"}, less)
    )
    assert [*differences(one, two)] == ["attach device a"]
    assert [*differences(two, other)] == ["change device tun", "detach device a"]
    assert with_devices(one, two, {"devices"}) == two
    assert with_devices(one, two, {"nics"}) == one


def test_only_the_devices_of_the_named_fields_change() -> None:
    runs = web(ETH0, cdrom="/a", tpm=True, rng=False)
    want = web(ETH1, volumes=[LOGS], cdrom="/b", display="vnc", rng=True)

    assert with_devices(runs, want, {"nics"}) == web(ETH1, cdrom="/a", tpm=True, rng=False)
    assert with_devices(runs, want, {"volumes", "hardware.cdrom", "hardware.tpm"}) == web(
        ETH0, volumes=[LOGS], cdrom="/b", rng=False
    )


def test_devices_are_nics_volumes_and_what_is_below_hardware() -> None:
    assert [*map(is_device, ("nics", "volumes", "hardware.cdrom", "memory", "volume sizes"))] == [
        *(True, True, True, False, False)
    ]
