"""Someone who has containers on this host, made of one template, and says what each is to be."""

from dataclasses import dataclass, field
from pathlib import Path

from returns.result import Success

from geats_core import Step
from geats_host.calls import lifecycle
from geats_host.engine.apply_plan import apply_plan
from geats_host.host import Host
from tests.real.conftest import sh

GUEST = 100_000  # root of unprivileged guests


@dataclass
class Owner:
    """All of it is below ``directory``, where ``root`` is the template; ``vms`` are as in a pillar.

    ``settings`` are further keys of the host.
    """

    directory: Path
    vms: dict[str, dict[str, object]] = field(default_factory=dict)
    settings: dict[str, object] = field(default_factory=dict)
    lxc: dict[str, object] = field(default_factory=lambda: {"idmap_first": GUEST})

    @property
    def host(self) -> Host:
        """The host, opened anew, with what is declared now."""
        here = self.directory
        return Host.from_config(
            {
                "state_dir": f"{here}/state",
                "run_dir": f"{here}/run",
                "drivers": {"lxc": {"settle": 0.3, "path": f"{here}/lxc", **self.lxc}},
                "pools": {"default": {"type": "directory", "path": f"{here}/pool"}},
                "templates": {"busybox": {"path": f"{here}/root"}},
                "profiles": {"small": {"template": "busybox", "init": "busybox"}},
                "vms": self.vms,
                **self.settings,
            }
        )

    def apply(self, name: str, target: str = "running") -> tuple[Step, ...]:
        """Bring it there, as it is declared now; the steps, all of which were done."""
        opened = self.host
        planned = lifecycle.plan_to(opened, name, target)
        assert apply_plan(opened, planned) == Success(planned.plan.steps)
        return planned.plan.steps

    def attached(self, name: str, script: str) -> tuple[str, ...]:
        """The command that runs a script in it."""
        return ("lxc-attach", "-P", f"{self.directory}/lxc", "-n", name, "--", "sh", "-c", script)

    def init(self, name: str) -> Path:
        """What the kernel says of its process 1."""
        pid = sh("lxc-info", "-P", f"{self.directory}/lxc", "-n", name, "-p", "-H").strip()
        return Path("/proc", pid)
