"""Programs in a VM that runs.

Nothing of it is written to the journal or to a log: environments may be secret.
"""

from geats_core.reading.mappings import Options
from geats_core.requests.guest_requests import parse_command
from geats_host.drivers import Ran
from geats_host.errors import accepted
from geats_host.host import Host


def run_in(host: Host, name: str, argv: object, options: Options) -> Ran:
    """What a program in the VM came to; see ``parse_command`` for *argv* and *options*."""
    command = accepted(parse_command(argv, options))
    return host.running(name).exec(name, command)
