"""A master in the test's own process: its runner, and minions that are hosts in memory only."""

from fnmatch import fnmatchcase
from typing import Any

import salt.loader
from salt.exceptions import CommandExecutionError

from tests.memory_host import memory_config

A_VM = "in the place of a minion's modules: a VM that is a target of its own"


A_MACHINE: dict[str, Any] = {  # a virtual machine, of a driver that has no others
    "drivers": {"memory": {}, "machines": {"type": "memory", "roots": "disk"}},
    "templates": {
        "debian": {"path": "/nowhere"},
        "image": {"disk": {"path": "/no", "format": "raw"}},
    },
    "vms": {"vm01": {"driver": "machines", "template": "image", "memory": "1GiB", "cpus": 1}},
}


class Master:
    """Runs functions on its minions as Salt's does, one after the other."""

    def __init__(self, opts, directory, **pillars):
        self.minions = {
            minion: _minion({**opts, "id": minion}, directory / minion, changes)
            for minion, changes in pillars.items()
        }
        self.silent = set()
        self.asked = []
        self.context: dict[str, object] = {}
        self.runner: Any = salt.loader.runner(opts, whitelist=["geats"], context=self.context)
        self.runner["salt.execute"] = self.execute
        self.pillars = {minion: {"geats": given} for minion, given in pillars.items()}
        self.runner["pillar.show_pillar"] = lambda minion: self.pillars.get(minion, {})
        self.events: list[tuple[str, Any]] = []
        self.runner["event.send"] = lambda tag, data: self.events.append((tag, data))

    def execute(self, tgt, fun, arg=(), kwarg=None, tgt_type="glob", full_return=False):
        assert (tgt_type in ("glob", "list"), full_return) == (True, True)
        self.asked.append((tgt, fun, *arg))
        return {
            minion: minion not in self.silent and _returned(modules, fun, arg, kwarg or {})
            for minion, modules in self.minions.items()
            if (minion in tgt if tgt_type == "list" else fnmatchcase(minion, tgt))
        }

    def __getitem__(self, minion) -> Any:
        return self.minions[minion]


def _minion(opts, directory, changes):
    pillar = {"geats": {**memory_config(directory), **changes}}
    return salt.loader.minion_mods({**opts, "test": False, "pillar": pillar}, whitelist=["geats"])


def _returned(modules, fun, arg, kwarg):
    if modules is A_VM:
        return {
            "ret": f"Function '{fun}' is not supported for resource type 'geats'.",
            "retcode": 1,
        }
    if fun not in modules:
        return {"ret": f"'{fun}' is not available.", "retcode": 254}
    context = modules.pack["__context__"]
    context["retcode"] = 0
    try:
        return {"ret": modules[fun](*arg, **kwarg), "retcode": context["retcode"]}
    except CommandExecutionError as error:
        return {"ret": f"ERROR: {error}", "retcode": 1}
