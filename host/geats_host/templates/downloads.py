"""Downloads over http(s): small documents, and large files that are known by their sha256."""

import hashlib
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException, HTTPMessage
from pathlib import Path
from typing import IO, Protocol
from urllib import request
from urllib.parse import urlsplit

from geats_host.errors import HostError
from geats_host.streams import meters

PAUSE_S = 30  # no longer between two pieces of an answer
TIMEOUT_S = 3600
PIECE = 2**20


class Answer(Protocol):
    """The body of an answer."""

    def read(self, amount: int, /) -> bytes:
        """The next piece, empty at the end."""
        ...


class _Redirects(request.HTTPRedirectHandler):
    """Followed to http and https only, and never from https to http."""

    def redirect_request(
        self,
        req: request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: HTTPMessage,
        newurl: str,
    ) -> request.Request | None:
        """Refuse, or do as usual."""
        before, after = urlsplit(req.full_url).scheme, urlsplit(newurl).scheme
        if after not in ("http", "https") or (before, after) == ("https", "http"):
            raise HostError(f"{req.full_url}: leads to {newurl!r}, which is not followed")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def fetch_document(url: str, at_most: int) -> bytes:
    """The whole of a document of *at_most* so many bytes."""
    with _opened(url) as answer:
        text = b"".join(_pieces(url, answer, at_most))
    return text


def fetch_file(
    url: str, path: Path, *, at_most: int, sha256: str, size_bytes: int | None = None
) -> None:
    """Write a file of *at_most* so many bytes as it comes.

    ``HostError`` unless it has that digest, and that size if one is given.
    """
    digest, got_bytes, moved = hashlib.sha256(), 0, meters.counter(size_bytes)
    with _opened(url) as answer, path.open("xb") as file:
        for piece in _pieces(url, answer, at_most):
            digest.update(piece)
            got_bytes += file.write(piece)
            moved(len(piece))
    if size_bytes not in (None, got_bytes):
        raise HostError(f"{url}: must be of {size_bytes} bytes, got {got_bytes}")
    if digest.hexdigest() != sha256:
        raise HostError(f"{url}: must have the sha256 {sha256}, got {digest.hexdigest()}")


@contextmanager
def _opened(url: str) -> Iterator[Answer]:
    opener = request.OpenerDirector()  # with no handler for files, ftp or data
    for handler in (
        request.ProxyHandler,
        request.HTTPHandler,
        request.HTTPSHandler,
        request.HTTPDefaultErrorHandler,
        request.HTTPErrorProcessor,
        request.UnknownHandler,
        _Redirects,
    ):
        opener.add_handler(handler())
    try:
        with opener.open(url, timeout=PAUSE_S) as answer:
            yield answer
    except (OSError, HTTPException) as error:
        raise HostError(f"{url}: {error}") from None


def _pieces(url: str, answer: Answer, at_most: int) -> Iterator[bytes]:
    """The body, piece by piece; it ends with an error if it is longer or takes too long."""
    left, until = at_most, time.monotonic() + TIMEOUT_S
    while piece := answer.read(min(PIECE, left + 1)):
        left -= len(piece)
        if left < 0:
            raise HostError(f"{url}: is of more than {at_most} bytes")
        if time.monotonic() > until:
            raise HostError(f"{url}: did not end within {TIMEOUT_S} s")
        yield piece
