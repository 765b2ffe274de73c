"""The source ``simplestreams``: the newest image with an alias on a server, kept once downloaded.

What was downloaded stays the template until it is asked to be refreshed: two VMs that are made one
after the other are made from the same.
"""

import shutil
from collections.abc import Collection
from typing import TYPE_CHECKING

from geats_core.declared.template import Simplestreams
from geats_core.foreign.simplestreams import (
    INDEX,
    LARGEST_DOCUMENT,
    Form,
    Found,
    Item,
    Wanted,
    find_image,
    parse_index,
)
from geats_core.foreign.simplestreams import search as find_images
from geats_core.vm.spec import RootKind
from geats_host.errors import HostError, sound
from geats_host.lazy import later
from geats_host.templates import squashfs
from geats_host.templates.architectures import debian_arch
from geats_host.templates.store import Store, record_name
from geats_host.templates.stored_layers import (
    StoredLayer,
    check_file,
    kept,
    kept_or_made,
    problems_of_kept,
)

if TYPE_CHECKING:
    from geats_host.templates import downloads
else:  # it loads much of the standard library
    downloads = later("geats_host.templates.downloads")


def record_of(source: Simplestreams) -> str:
    """Names what the store has of it."""
    words = (source.url, source.alias, source.arch or debian_arch(), source.sha256 or "")
    disk = ("disk",) if source.root_kind is RootKind.DISK else ()
    return record_name("simplestreams", *words, *disk)


def problems(source: Simplestreams, store: Store) -> tuple[str, ...]:
    """All that is wrong with what was downloaded; before that, with what the server offers."""
    try:
        found = kept(store, record_of(source))
        if found is not None:
            return problems_of_kept(store, found)
        _check_space(_offered(source), store)
    except HostError as error:
        return tuple(str(error).splitlines())
    return ()


def ready(source: Simplestreams, store: Store, *, refresh: bool) -> StoredLayer:
    """What was downloaded; if there is nothing, or with *refresh*, download the newest."""

    def newest(found: StoredLayer | None) -> StoredLayer:
        item = _offered(source)
        if found is None or found[1] != item.sha256:
            _download(source, item, store)
        return item.form, item.sha256

    return kept_or_made(store, record_of(source), newest, refresh=refresh)


def _offered(source: Simplestreams) -> Item:
    """The newest image that the server has."""
    products = _products(source.url)
    trees = {*Form} - {Form.DISK} - (set() if squashfs.is_readable() else {Form.SQUASHFS})
    forms = {Form.DISK} if source.root_kind is RootKind.DISK else trees
    wanted = Wanted(
        alias=source.alias,
        arch=source.arch or debian_arch(),
        sha256=source.sha256,
        forms=frozenset(forms),
    )
    return sound(find_image(products, downloads.fetch_document(products, LARGEST_DOCUMENT), wanted))


def search(url: str, words: Collection[str], arch: str | None) -> Found:
    """The images of a server that have all *words* in their names, for *arch* or for any."""
    products = _products(url)
    return sound(
        find_images(products, downloads.fetch_document(products, LARGEST_DOCUMENT), words, arch)
    )


def _products(url: str) -> str:
    """Where the server says what it has."""
    base = url.rstrip("/")
    index = f"{base}/{INDEX}"
    return f"{base}/{sound(parse_index(index, downloads.fetch_document(index, LARGEST_DOCUMENT)))}"


def _download(source: Simplestreams, item: Item, store: Store) -> None:
    if store.blob(item.sha256).is_file():
        return
    with store.scratch() as scratch:
        _check_space(item, store)
        path, url = scratch / "download", f"{source.url.rstrip('/')}/{item.path}"
        size_bytes = item.size_bytes
        downloads.fetch_file(
            url, path, at_most=size_bytes, size_bytes=size_bytes, sha256=item.sha256
        )
        check_file(f"{path}", item.form)
        store.keep(path, item.sha256)


def _check_space(item: Item, store: Store) -> None:
    there = next((path for path in (store.root, *store.root.parents) if path.exists()), store.root)
    free_bytes = shutil.disk_usage(there).free
    if item.size_bytes > free_bytes:
        wanted = f"{item.path} is of {item.size_bytes} bytes"
        raise HostError(f"{wanted}, and there are {free_bytes} at {store.root}")
