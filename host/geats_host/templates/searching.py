"""What image servers have: those that templates are declared from, or others."""

from collections.abc import Collection, Mapping

from geats_core.declared.template import Simplestreams, Template, server_url
from geats_core.reading import fields
from geats_host.errors import HostError, Refused, accepted
from geats_host.templates import simplestreams
from geats_host.templates.architectures import debian_arch

Report = dict[str, object]
EVERY = "all"  # architectures
NO_SERVER = "no template is declared from an image server: give one, such as url: "
EXAMPLE = "https://images.linuxcontainers.org"


def search(
    declared: Mapping[str, Template], words: object, urls: object = None, arch: object = None
) -> tuple[list[Report], list[str]]:
    """The images that have all *words* in their names, and which servers did not answer, and why.

    *urls* are the servers, by default those of the templates that are *declared*. *arch* is an
    architecture, or ``all``; by default that of this host.
    """
    asked = accepted(fields.each(server_url)("url", _several(urls)))
    sought = accepted(fields.each(fields.text)("words", _several(words)))
    wanted = accepted(fields.text("arch", arch or debian_arch()))
    servers = asked or tuple(dict.fromkeys(_servers(declared)))
    if not servers:
        raise Refused(f"{NO_SERVER}{EXAMPLE}")
    rows: list[Report] = []
    failed: list[str] = []
    for url in servers:
        try:
            rows += _rows(url, sought, None if wanted == EVERY else wanted)
        except HostError as error:
            failed.append(f"{error}")
    return rows, failed


def _several(raw: object) -> object:
    """What may be one word alone, or nothing, as a list."""
    return [raw] if isinstance(raw, str) else raw or []


def _servers(declared: Mapping[str, Template]) -> list[str]:
    sources = (template.source for template in declared.values())
    return [source.url for source in sources if isinstance(source, Simplestreams)]


def _rows(url: str, words: Collection[str], arch: str | None) -> list[Report]:
    return [
        {
            "image": offer.alias,
            "arch": offer.arch,
            "kinds": list(map(str, offer.kinds)),
            "version": offer.version,
            "size_bytes": offer.size_bytes,
            "url": url,
        }
        for offer in simplestreams.search(url, words, arch)
    ]
