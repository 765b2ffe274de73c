"""Each kind of source: what is wrong with it, what names its content, and what it comes down to."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from geats_core.template import Build, Files, LxdImage, OciImage, Simplestreams, Source, kind
from geats_host.errors import HostError
from geats_host.templates import files, lxd_image, oci
from geats_host.templates.layers import Layer
from geats_host.templates.store import Store


def problems(source: Source, store: Store) -> Iterable[tuple[str, str]]:
    """All that is wrong with a source, each with the key that it is about; files are read whole."""
    key = kind(source)
    match source:
        case Files():
            return ((key, message) for message in files.problems(source))
        case OciImage():
            return ((key, message) for message in oci.problems(source, store))
        case LxdImage():
            return lxd_image.problems(source)
        case Simplestreams() | Build():
            return ((key, "templates from here are not there yet"),)


@contextmanager
def layers(source: Source, store: Store) -> Iterator[tuple[Layer, ...]]:
    """What is put on a directory, in order; it is there only as long as this lasts."""
    match source:
        case Files():
            yield (files.layer(source),)
        case OciImage():
            with oci.layers(source, store) as found:
                yield found
        case LxdImage():
            yield (lxd_image.layer(source),)
        case Simplestreams() | Build():
            raise HostError(f"templates from {kind(source)} are not there yet")


def content(source: Source, store: Store) -> str:
    """Names what the source holds, so that another content never has the same name."""
    match source:
        case Files():
            return files.content(source)
        case OciImage():
            return oci.content(source)
        case LxdImage():
            return lxd_image.content(source)
        case Simplestreams() | Build():
            raise HostError(f"templates from {kind(source)} are not there yet")
