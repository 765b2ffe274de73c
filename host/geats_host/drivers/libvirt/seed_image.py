"""The image of a seed: an ISO 9660 filesystem that cloud-init finds by its label, in any guest."""

from collections.abc import Mapping
from io import BytesIO

from geats_host.errors import HostError

LABEL = "CIDATA"
MEND = "install geats with the extra libvirt (pycdlib), or let the guest be none"


def seed_image(files: Mapping[str, str]) -> bytes:
    """The image with these *files*, by their names."""
    try:
        import pycdlib
    except ImportError:
        raise HostError(f"cannot make a seed, as pycdlib is missing: {MEND}") from None
    image, written = pycdlib.PyCdlib(), BytesIO()
    image.new(interchange_level=3, vol_ident=LABEL, joliet=3, rock_ridge="1.09")
    for index, (name, text) in enumerate(files.items()):
        content, short = text.encode(), f"/F{index}.;1"
        image.add_fp(BytesIO(content), len(content), short, rr_name=name, joliet_path=f"/{name}")
    image.write_fp(written)
    image.close()
    return written.getvalue()
