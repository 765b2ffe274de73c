"""The suite that every driver passes, for pytest; for a driver of your own as well.

A test module of yours opens the driver, makes VMs that it can start, and inherits all tests::

    import pytest
    from geats_host.testing.driver_conformance import DriverConformance, vm

    class TestMyDriver(DriverConformance):
        @pytest.fixture
        def reopen(self, tmp_path):
            return lambda: open_driver({}, tmp_path / "state")

        @pytest.fixture
        def make(self, tmp_path):
            def made(name, **keys):
                return vm(name, driver="mine", **keys), {"root": Place(a_root(tmp_path / name))}
            return made

The root of such a VM has ``true``, ``cat`` and a shell, and powers off when it is asked to. What a
driver cannot change while a VM is on, by ``facts.costs``, is not asked of it. If it reaches no
programs and files in guests, set ``reaches_guests`` to False: it has to say so then. The suite
needs pytest, from the extra ``test``, and whatever the driver needs.
"""

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Protocol, TypeAlias

import pytest

from geats_core.planning.costs import COST, LIVE_CGROUPS, LIVE_DNS, LIVE_LIMITS, Impact
from geats_core.planning.plugin_facts import DriverFacts
from geats_core.requests.guest_requests import Command, FileToRead, FileToWrite
from geats_core.vm.observation import Power
from geats_core.vm.parse import parse_vm
from geats_core.vm.spec import Dns, Limits, VMSpec
from geats_host.drivers import Driver, DriverSeen, Info, Place
from geats_host.drivers.abilities import Arrived, DnsNoting, HotPlugging, LiveMoving, RenamingDriver
from geats_host.errors import HostError

Reopen: TypeAlias = Callable[[], Driver]
TIMEOUT_S = 30
MEMORY = 64 << 20
LIVE = (*LIVE_LIMITS, *LIVE_CGROUPS)  # fields that ``set_limits`` can change
OF_GEATS = frozenset(
    (
        *("transient", "shutdown_timeout", "after", "autostart", "volume sharing"),
        *("labels", "description", "power", "enabled"),
    )
)
ABSENT = "geats-test-absent"


class Make(Protocol):
    """Makes a VM that can be started, and its volumes; *keys* are those of its description."""

    def __call__(self, name: str, **keys: object) -> tuple[VMSpec, Mapping[str, Place]]: ...


def vm(name: str, **keys: object) -> VMSpec:
    """A VM as it is described; its name begins with ``geats-test-``."""
    return parse_vm(f"geats-test-{name}", {"template": "test", **keys}).unwrap()


class DriverConformance:
    """See the module. ``reopen`` gives a function that opens the same driver again."""

    reaches_guests = True

    @pytest.fixture
    def reopen(self) -> Reopen:
        """To be given by each driver."""
        raise NotImplementedError

    @pytest.fixture
    def make(self) -> Make:
        """To be given by each driver."""
        raise NotImplementedError

    @pytest.fixture(autouse=True)
    def all_gone(self, reopen: Reopen) -> Iterator[None]:
        """Whatever a test that failed left is ended."""
        yield
        driver = reopen()
        for name, seen in driver.observe().items():
            if seen.power is not Power.STOPPED:
                with suppress(HostError):
                    driver.stop(name)
            with suppress(HostError):
                driver.undefine(name)

    def test_it_says_what_it_can(self, reopen: Reopen) -> None:
        facts, bridges = reopen().facts, reopen().bridges()
        assert isinstance(facts, DriverFacts)
        assert bridges is None or isinstance(bridges, frozenset)
        fields = {field: field.partition(".")[0] for field in facts.costs}
        assert set(fields.values()) <= {*COST}, "the table COST has no such field"
        assert not OF_GEATS & facts.costs.keys(), "these fields are none of the driver's"
        plugs = isinstance(reopen(), HotPlugging)
        assert plugs or not facts.entries, "nothing changes devices while a VM is on"
        for field, cost in facts.costs.items():
            found = {cost.rises, cost.falls}
            ever = COST[fields[field]]
            assert ever <= Impact.RESTART or found == {ever}, f"{field} costs the data"
            is_device = field.startswith("hardware.") and plugs
            writes = field in LIVE_DNS and isinstance(reopen(), DnsNoting)
            live = field in LIVE or is_device or writes or Impact.LIVE not in found
            assert live, f"nothing changes {field} while it is on"

    def test_a_renamed_vm_leaves_its_old_name_free(self, reopen: Reopen, make: Make) -> None:
        (old, places), (new, others) = make("old"), make("new")
        reopen().define(old, places)
        driver = reopen()
        if isinstance(driver, RenamingDriver):
            assert driver.cannot_rename(old.name) == ""
            driver.rename(old.name, new.name)
            driver.rename(old.name, new.name)
        reopen().define(new, others)
        reopen().undefine(old.name)
        assert reopen().observe() == {new.name: DriverSeen(defined=new)}
        reopen().define(old, places)
        seen = {name: DriverSeen(defined=spec) for name, spec in ((old.name, old), (new.name, new))}
        assert reopen().observe() == seen

    def test_what_moves_as_it_runs_is_known_for_what_it_is(
        self, reopen: Reopen, make: Make
    ) -> None:
        want, places = make("live")
        reopen().define(want, places)
        driver = reopen()
        if not isinstance(driver, LiveMoving):
            return
        assert not driver.was_sent(want.name)
        assert driver.arrived(want.name) is Arrived.NOTHING
        driver.start(want.name)
        assert driver.machine(want.name)
        assert (driver.was_sent(want.name), driver.arrived(want.name)) == (False, Arrived.RUNNING)
        driver.freeze(want.name)
        assert driver.arrived(want.name) is Arrived.WHOLE
        driver.settle(want, places)
        still = DriverSeen(defined=want, in_effect=want, power=Power.FROZEN)
        assert reopen().observe() == {want.name: still}
        driver.part(want.name)
        driver.part(want.name)

    def test_a_life_from_define_to_undefine(self, reopen: Reopen, make: Make) -> None:
        want, places = make("life")
        reopen().define(want, places)
        off = DriverSeen(defined=want)
        assert reopen().observe() == {want.name: off}
        reopen().start(want.name)
        on = DriverSeen(defined=want, in_effect=want, power=Power.RUNNING)
        assert reopen().observe() == {want.name: on}
        reopen().freeze(want.name)
        assert reopen().observe() == {want.name: replace(on, power=Power.FROZEN)}
        reopen().unfreeze(want.name)
        assert reopen().observe() == {want.name: on}
        reopen().shutdown(want.name, TIMEOUT_S)
        assert reopen().observe() == {want.name: off}
        reopen().undefine(want.name)
        reopen().undefine(want.name)
        assert reopen().observe() == {}

    def test_one_vm_is_seen_as_it_is_among_all(self, reopen: Reopen, make: Make) -> None:
        for name in ("on", "off"):
            reopen().define(*make(name))
        reopen().start("geats-test-on")
        everything = reopen().observe()

        assert {name: seen.power for name, seen in everything.items()} == {
            "geats-test-on": Power.RUNNING,
            "geats-test-off": Power.STOPPED,
        }
        assert {name: reopen().observe(name) for name in everything} == {
            name: {name: seen} for name, seen in everything.items()
        }
        assert reopen().observe(ABSENT) == {}
        reopen().stop("geats-test-on")
        assert reopen().observe("geats-test-off") == {
            "geats-test-off": everything["geats-test-off"]
        }

    def test_what_is_defined_anew_is_in_effect_after_the_next_start(
        self, reopen: Reopen, make: Make
    ) -> None:
        want, places = make("changed")
        new = replace(want, hostname="other")
        reopen().define(want, places)
        reopen().define(want, places)
        reopen().start(want.name)
        reopen().define(new, places)
        seen = reopen().observe()[want.name]
        assert (seen.defined, seen.in_effect, seen.power) == (new, want, Power.RUNNING)
        reopen().stop(want.name)
        assert reopen().observe()[want.name].in_effect is None
        reopen().start(want.name)
        assert reopen().observe()[want.name].in_effect == new

    def test_limits_that_can_change_while_it_is_on_do(self, reopen: Reopen, make: Make) -> None:
        costs = reopen().facts.costs
        if not all(name in costs and costs[name].falls is Impact.LIVE for name in LIVE):
            return
        want, places = make("limits", memory=2 * MEMORY)
        reopen().define(want, places)
        reopen().start(want.name)
        limits = Limits(memory_bytes=MEMORY, cpus=0.5, processes=50)
        reopen().set_limits(want.name, limits)
        seen = reopen().observe()[want.name]
        assert (seen.defined, seen.in_effect) == (want, replace(want, limits=limits))
        assert reopen().info(want.name).memory_limit_bytes == MEMORY

    def test_dns_that_can_change_while_it_is_on_does(self, reopen: Reopen, make: Make) -> None:
        driver = reopen()
        if not isinstance(driver, DnsNoting) or not LIVE_DNS.keys() <= driver.facts.costs.keys():
            return
        want, places = make("dns")
        driver.define(want, places)
        driver.start(want.name)
        for dns in (Dns(search=("lan",)), Dns(search=("home", "lan")), Dns()):
            driver.note_dns(want.name, dns)
            driver.note_dns(want.name, dns)
            seen = reopen().observe()[want.name]
            assert (seen.defined, seen.in_effect) == (want, replace(want, dns=dns))
        driver.stop(want.name)
        with pytest.raises(HostError):
            driver.note_dns(want.name, Dns())

    def test_the_mark_of_a_lock_stays_until_it_is_lifted(self, reopen: Reopen, make: Make) -> None:
        want, places = make("locked")
        reopen().set_locked(want.name, locked=True)  # of a VM that is not known: nothing
        assert reopen().observe() == {}
        reopen().define(want, places)
        for locked in (True, True, False, False, True):
            reopen().set_locked(want.name, locked=locked)
            assert reopen().observe()[want.name].locked is locked
        reopen().define(want, places)
        assert reopen().observe()[want.name].locked
        reopen().undefine(want.name)
        reopen().define(want, places)
        assert not reopen().observe()[want.name].locked

    def test_what_cannot_be_done_now_is_an_error_and_changes_nothing(
        self, reopen: Reopen, make: Make
    ) -> None:
        want, places = make("wrong")
        reopen().define(want, places)
        off = reopen().observe()
        for act in ("freeze", "unfreeze", "hold"):
            with pytest.raises(HostError):
                getattr(reopen(), act)(want.name)
        assert reopen().observe() == off
        reopen().start(want.name)
        on = reopen().observe()
        for act in ("start", "undefine"):
            with pytest.raises(HostError):
                getattr(reopen(), act)(want.name)
        assert reopen().observe() == on
        with pytest.raises(HostError):
            reopen().start(ABSENT)

    def test_a_frozen_vm_is_powered_off(self, reopen: Reopen, make: Make) -> None:
        want, places = make("frozen")
        reopen().define(want, places)
        for freeze in ("freeze", "hold"):
            reopen().start(want.name)
            getattr(reopen(), freeze)(want.name)
            frozen = {"freeze": Power.FROZEN, "hold": Power.HELD}[freeze]
            assert reopen().observe()[want.name].power is frozen
            if freeze == "hold":
                reopen().unfreeze(want.name)
            reopen().stop(want.name)
            assert reopen().observe() == {want.name: DriverSeen(defined=want)}

    def test_statistics_of_one_that_is_off_are_empty(self, reopen: Reopen, make: Make) -> None:
        want, places = make("info")
        reopen().define(want, places)
        assert reopen().info(want.name) == Info()

    def test_programs_run_in_a_guest_that_is_on(self, reopen: Reopen, make: Make) -> None:
        want, places = make("programs")
        reopen().define(want, places)
        with pytest.raises(HostError):
            reopen().exec(want.name, Command(argv=("true",)))
        reopen().start(want.name)
        if not self.reaches_guests:
            with pytest.raises(HostError):
                reopen().exec(want.name, Command(argv=("true",)))
            return
        assert reopen().exec(want.name, Command(argv=("true",))).code == 0
        assert reopen().exec(want.name, Command(argv=("no-such-program",))).code == 127

    def test_files_go_in_and_come_out_as_they_were(self, reopen: Reopen, make: Make) -> None:
        want, places = make("files")
        reopen().define(want, places)
        reopen().start(want.name)
        if not self.reaches_guests:
            with _file(b"") as target, pytest.raises(HostError):
                reopen().read_file(want.name, FileToRead(path="/tmp/file"), target)
            with _file(b"") as given, pytest.raises(HostError):
                reopen().write_file(want.name, FileToWrite(path="/tmp/file"), given)
            return
        data = os.urandom(70_000)
        for content in (data, b""):
            with _file(content) as given:
                reopen().write_file(want.name, FileToWrite(path="/tmp/file"), given)
            with _file(b"") as target:
                reopen().read_file(want.name, FileToRead(path="/tmp/file"), target)
                assert os.pread(target, len(data) + 1, 0) == content
        with _file(b"") as target, pytest.raises(HostError):
            reopen().read_file(want.name, FileToRead(path="/tmp/no-such-file"), target)

    def test_many_look_at_once(self, reopen: Reopen, make: Make) -> None:
        want, places = make("seen")
        reopen().define(want, places)
        driver = reopen()
        with ThreadPoolExecutor(8) as threads:
            looks = [threads.submit(driver.observe) for _ in range(16)]
            driver.start(want.name)
            seen = [each.result() for each in looks]
        assert {each[want.name].defined for each in seen} == {want}
        assert {each[want.name].power for each in seen} <= {Power.STOPPED, Power.RUNNING}


@contextmanager
def _file(content: bytes) -> Iterator[int]:
    """The descriptor of an open file with this content."""
    with tempfile.TemporaryFile() as file:
        file.write(content)
        file.flush()
        file.seek(0)
        yield file.fileno()
