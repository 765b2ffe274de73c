"""
The templates that VMs are made from.

Part of the module ``geats``: Salt puts the functions of all its files under that one name.

:depends: geats
"""

from geats_core.reading.checked import problems_to_plain
from geats_host.for_salt.calls import checked, is_test, opened
from geats_host.templates import searching

__virtualname__ = "geats"


def __virtual__():
    return __virtualname__


def templates():
    """
    List every declared template: its source, key, and the pools in which it is unpacked.

    CLI Example:

    .. code-block:: bash

        salt '*' geats.templates
    """
    with opened() as host:
        return host.templates.listed()


def import_template(name, refresh=False, test=None):
    """
    Prepare a template before VMs need it: download or build it, and unpack it in pools that clone.

    refresh
        look for a newer image on the server, or build again
    test
        do nothing, and return what would be done (default: the minion's ``test`` option)

    CLI Example:

    .. code-block:: bash

        salt '*' geats.import_template debian
        salt '*' geats.import_template debian refresh=True
    """
    with opened() as host:
        if is_test(test):
            return {"name": name, "would": host.templates.missing(name, refresh=refresh)}
        return host.templates.make_ready(name, refresh=refresh)


def search_templates(words=None, url=None, arch=None):
    """
    The images of image servers that have all words in their names, and which servers failed.

    words
        words, each of which is in the name or the system of an image (default: every image)
    url
        image servers that speak simplestreams (default: those of the templates that are declared)
    arch
        an architecture such as ``arm64``, or ``all`` (default: that of the minion)

    CLI Example:

    .. code-block:: bash

        salt '*' geats.search_templates '[debian, 12]' url=https://images.linuxcontainers.org
    """
    with opened() as host:
        images, failed = searching.search(host.config.templates, words, url, arch)
        return {"images": images, "failed": failed}


def verify_templates():
    """
    List everything that is wrong with each template: its files, and its unpacked copies.

    Returns an empty list for each template that is sound. If one is not, the exit code is 1.

    CLI Example:

    .. code-block:: bash

        salt '*' geats.verify_templates
    """
    with opened() as host:
        found = host.templates.verified()
    return checked(problems_to_plain(found), wrong=any(found.values()))


def prune_templates(test=None):
    """
    Delete unpacked templates and downloaded files that no declared template needs.

    Returns what is deleted and what is kept, each with the reason.

    CLI Example:

    .. code-block:: bash

        salt '*' geats.prune_templates test=True
        salt '*' geats.prune_templates
    """
    with opened() as host:
        return host.templates.pruned(dry_run=is_test(test))
