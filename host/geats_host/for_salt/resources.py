"""VMs of this host as Salt targets, if the pillar turns this on: which, and their labels."""

from pathlib import Path

from geats_core.declared.config import parse_config, read_in_part
from geats_core.requests.salt_resources import offered, parse_offer
from geats_host.errors import HostError, Refused, accepted
from geats_host.inputs import configuration
from geats_host.inputs.configuration import Words
from geats_host.inputs.declared import declared
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


def labels_of(vm: str, opts: Words, pillar: Words) -> dict[str, str]:
    """The labels of a VM as it is declared, or else defined; none if neither can be read."""
    try:
        config = accepted(read_in_part(configuration.as_rendered(opts, pillar)), "geats")
        spec = declared(config, vm)
        if spec is None:
            spec = open_registry(config.registry, Path(config.state_dir)).definitions().get(vm)
    except (Refused, HostError):  # which discover, or the job itself, tells
        return {}
    return dict(spec.labels) if spec is not None else {}
