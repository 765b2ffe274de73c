"""A minion without a master, as ``salt-call --local`` makes one, in the test's own process.

Salt itself renders the pillar, from files, and compiles the states: nothing is called past it.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import salt.config
import salt.loader
import salt.pillar
import yaml

REPO = Path(__file__).parents[2]
GRAINS = {"os": "Debian", "os_family": "Debian", "kernel": "Linux", "id": "here"}
Answer = dict[str, Any]


class Minion:
    """Its files are below *directory*: ``pillar`` and ``states``.

    With ``has_master`` among its options, its functions are told that a master made the pillar.
    """

    def __init__(self, directory: Path, pillar: Mapping[str, object], **options: object) -> None:
        self.directory = directory
        self.options = options
        for name in ("pillar", "states", "other"):
            (directory / name).mkdir(parents=True)
        self.says("top", {"base": {"*": ["here"]}})
        self.says("here", pillar)

    def says(self, sls: str, said: object, folder: str = "pillar") -> None:
        """Write a file of the pillar: text as it is, with its Jinja, or what YAML is made of."""
        text = said if isinstance(said, str) else yaml.safe_dump(said, sort_keys=False)
        (self.directory / folder / f"{sls}.sls").write_text(text)

    def opts(self, **more: object) -> Answer:
        """Its configuration, and the pillar that Salt renders for it now."""
        opts = {
            **salt.config.minion_config(None),
            "cachedir": f"{self.directory}",
            "extension_modules": f"{self.directory}/extmods",
            "file_client": "local",
            "file_roots": {"base": [f"{self.directory}/states"]},
            "grains": GRAINS,
            "id": "here",
            "module_dirs": [f"{REPO}/salt"],
            "pillar_roots": {
                "base": [f"{self.directory}/pillar"],
                "other": [f"{self.directory}/other"],
            },
            **self.options,
            **more,
        }
        pillar = compiled(opts)
        client = "remote" if opts.get("has_master") else "local"
        return {**opts, "pillar": pillar, "file_client": client}

    def call(self, function: str, *words: object, **named: object) -> Any:
        """What ``salt-call --local FUNCTION`` returns; raises what it would tell."""
        opts = self.opts()
        modules = salt.loader.minion_mods(opts, utils=salt.loader.utils(opts))
        return modules[function](*words, **named)

    def apply(self, sls: str, **named: object) -> dict[str, Answer]:
        """What the states of *sls* came to, by their names, in the order in which they ran."""
        (self.directory / "states/vms.sls").write_text(sls)
        returned = self.call("state.apply", "vms", **named)
        assert isinstance(returned, dict), returned
        ordered = sorted(returned.values(), key=lambda each: int(each["__run_num__"]))
        return {each["name"]: each for each in ordered}


def compiled(opts: Answer) -> Answer:
    """The pillar, as a minion has it."""
    pillar = salt.pillar.get_pillar(
        opts, opts["grains"], opts["id"], opts["saltenv"], pillarenv=opts["pillarenv"]
    ).compile_pillar()
    assert isinstance(pillar, dict)
    return pillar
