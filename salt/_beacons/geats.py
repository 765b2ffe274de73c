"""
Tell when a VM changes its state, a stray comes or goes, a VM drifts, a pool is nearly full or away.

.. code-block:: yaml

    beacons:
      geats:
        - interval: 30
        - vms: [web*, db*]      # only VMs of these names (default: all)
        - states: true
        - strays: true
        - drift: true
        - pool_space: 90        # percent from which on a pool is full; false: not told
        - unavailable: true

All of them are on unless turned off. Each event is told once, not with every look:

- ``salt/beacon/MINION/geats/state/VM``: ``vm``, ``from`` and ``to``, which are ``running``,
  ``stopped``, ``frozen``, ``held``, ``stuck``, ``unknown`` where its driver is not available, or
  nothing where the VM is not defined
- ``salt/beacon/MINION/geats/stray/VM``: ``vm``, and whether it is a ``stray`` now
- ``salt/beacon/MINION/geats/drift/VM``: ``vm``, and the ``fields`` in which it is not as described;
  none of them once it is
- ``salt/beacon/MINION/geats/pool/POOL``: ``pool``, ``used_percent``, and whether it is ``full``
- ``salt/beacon/MINION/geats/unavailable/WHAT``: ``what``, such as ``pools.fast`` or
  ``drivers.lxc``, and ``why`` it cannot be used or looked at; nothing once it can again
- ``salt/beacon/MINION/geats/trouble``: ``error`` says why the host could not be looked at; nothing
  once it can again

A minion that was restarted tells what is not as it should be, but no state that has changed.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import salt.utils.beacons
from salt.exceptions import CommandExecutionError

from geats_core.requests import beacon as watch
from geats_host import errors

if TYPE_CHECKING:  # Salt's loader injects these
    __context__: dict[str, Any]
    __salt__: dict[str, Callable[..., Any]]

SALTS_OWN = {
    "interval",
    "disable_during_state_run",
    "enabled",
    "run_once",
    "beacon_module",
    "_beacon_name",
}


def validate(config):
    """
    Say whether the configuration of this beacon is right, and all that is wrong with it.

    .. code-block:: yaml

        beacons:
          geats:
            - pool_space: 80
    """
    if not isinstance(config, list) or not all(isinstance(each, dict) for each in config):
        return False, "the configuration of the beacon geats must be a list of options"
    try:
        _watch(config)
    except errors.Refused as refused:
        return False, str(refused)
    return True, "Valid beacon configuration"


def beacon(config):
    """
    Look at the host, and tell what is not as it was at the look before.

    .. code-block:: yaml

        beacons:
          geats: []
    """
    watched = _watch(config)
    key = f"geats.beacon.{salt.utils.beacons.list_to_dict(config).get('_beacon_name', 'geats')}"
    seen, trouble = __context__.get(key, (None, None))
    try:
        now, error = __salt__["geats.overview"](list(watched.vms)), None
    except CommandExecutionError as failed:
        now, error = seen, failed.error
    __context__[key] = (now, error)
    events = [] if error == trouble else [{"tag": "trouble", "error": error}]
    return events if error else [*events, *watch.told(seen, now, watched)]


def _watch(config):
    given = salt.utils.beacons.list_to_dict(config)
    return errors.accepted(
        watch.parse_watch({key: value for key, value in given.items() if key not in SALTS_OWN})
    )
