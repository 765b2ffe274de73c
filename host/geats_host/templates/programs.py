"""What the image of a VM's template says of its program becomes a part of what the VM is to be.

It is looked up when the root is to be filled, and recorded with the VM: what is on a root does not
change with the image, and so neither does what runs on it.
"""

from dataclasses import replace
from pathlib import Path

from geats_core.declared.config import HostConfig
from geats_core.declared.template import OciImage
from geats_core.reading.checked import Code, Problem
from geats_core.vm.spec import Init, VMSpec
from geats_host.errors import HostError, Refused
from geats_host.templates import program_of
from geats_host.templates.store import Store

NOTHING = "from_image: {} takes nothing from it"


def _needs_image(config: HostConfig, spec: VMSpec) -> bool:
    """Whether something that is not said of the VM may be said by an image."""
    template = config.templates.get(spec.template)
    is_image = template is not None and isinstance(template.source, OciImage)
    return is_image and spec.init is Init.NONE and spec.from_image is None


def with_image(config: HostConfig, spec: VMSpec, made_as: VMSpec | None) -> VMSpec:
    """*spec*, with what its image says: as the VM was *made_as*, if its root is there already."""
    if not _needs_image(config, spec):
        return spec
    if made_as is not None and made_as.template == spec.template and _stays(spec, made_as):
        return replace(spec, from_image=made_as.from_image)
    store = Store(Path(config.state_dir) / "templates", Path(config.run_dir))
    try:
        found = program_of(config.templates[spec.template], store)
    except HostError as error:
        message = f"its image does not tell what runs: {error} ({NOTHING})"
        raise Refused(Problem(f"{spec.name}.template", message, Code.REFUSED)) from None
    return replace(spec, from_image=found)


def _stays(spec: VMSpec, made_as: VMSpec) -> bool:
    """Whether it runs as before; one of an earlier geats said all of it."""
    said_all = made_as.init is Init.NONE and bool(spec.program.command)
    return made_as.from_image is not None or said_all
