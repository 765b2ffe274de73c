"""Each kind of source: what is wrong with it, what names its content, and what it comes down to."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from geats_core.template import Build, Files, LxdImage, OciImage, Simplestreams, Source, kind
from geats_host.errors import HostError
from geats_host.templates import files
from geats_host.templates.layers import Layer
from geats_host.templates.store import Store


def problems(source: Source, store: Store) -> Iterable[str]:
    """All that is wrong with a source; its files are read whole."""
    match source:
        case Files():
            return files.problems(source)
        case OciImage() | LxdImage() | Simplestreams() | Build():
            return (f"templates from {kind(source)} are not there yet",)


@contextmanager
def layers(source: Source, store: Store) -> Iterator[tuple[Layer, ...]]:
    """What is put on a directory, in order; it is there only as long as this lasts."""
    match source:
        case Files():
            yield (files.layer(source),)
        case OciImage() | LxdImage() | Simplestreams() | Build():
            raise HostError(f"templates from {kind(source)} are not there yet")


def content(source: Source, store: Store) -> str:
    """Names what the source holds, so that another content never has the same name."""
    match source:
        case Files():
            return files.content(source)
        case OciImage() | LxdImage() | Simplestreams() | Build():
            raise HostError(f"templates from {kind(source)} are not there yet")
