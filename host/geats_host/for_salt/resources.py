"""Which VMs of this host are Salt targets, if the pillar turns this on."""

from pathlib import Path

from geats_core.declared.config import parse_config
from geats_core.requests.salt_resources import offered, parse_offer
from geats_host.errors import accepted
from geats_host.plugins.entry_points import open_registry


def resource_ids(minion: str, raw: object, offer: object) -> list[str]:
    """The ids of all VMs that are declared or defined, and that *offer* lets through.

    *raw* is the host's configuration, *offer* what the pillar says under ``resources:geats``.
    Neither drivers nor pools are asked: Salt calls this before each job.
    """
    patterns = accepted(parse_offer("resources.geats", offer))
    config = accepted(parse_config(raw), "geats")
    registry = open_registry(config.registry, Path(config.state_dir))
    return offered(minion, {*config.vms, *registry.definitions(), *registry.unreadable()}, patterns)
