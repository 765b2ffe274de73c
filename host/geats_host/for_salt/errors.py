"""Refusals and trouble of ours, as Salt's own error: one text, without a traceback."""

from collections.abc import Iterator
from contextlib import contextmanager

from salt.exceptions import CommandExecutionError

from geats_host.errors import HostError, Refused, trouble


@contextmanager
def salts_errors() -> Iterator[None]:
    """Whatever is refused or fails meanwhile is Salt's own error."""
    try:
        yield
    except (Refused, HostError) as error:
        raise CommandExecutionError(str(error)) from None
    except OSError as error:
        raise CommandExecutionError(str(trouble(error))) from None
