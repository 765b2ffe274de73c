"""Keys of minions in VMs, accepted by this master: one key under one id, never another over it."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import salt.cache

from geats_host.calls.guests.minions import KEY
from geats_host.errors import HostError

DRIVER = "keys.cache_driver"  # of Salt 3008 and later; others have files only
PENDING, ACCEPTED = "minions_pre", "minions"
NOT_TAKEN = ("minions_rejected", "minions_denied")
HELD = "has another key here: `salt-key -d {0}` removes that, if it is not in use any more"


def accept(opts: Mapping[str, Any], minion: str, key: str) -> bool:
    """Accept *key* as that of the *minion*; False if it was already. A private one never is."""
    _check(minion, key)
    return _in_cache(opts, minion, key) if DRIVER in opts else _in_files(opts, minion, key)


def _check(minion: str, key: str) -> None:
    if not minion or "/" in minion or "\0" in minion or minion in (".", ".."):
        raise HostError(f"{minion!r} is no id of a minion")
    if not KEY.fullmatch(key):
        raise HostError(f"{minion}: what its host says is no public key")


def _in_cache(opts: Mapping[str, Any], minion: str, key: str) -> bool:
    cache = salt.cache.Cache(opts, driver=opts[DRIVER])
    known = cache.fetch("keys", minion) or {}
    state, old = known.get("state"), f"{known.get('pub', '')}".strip()
    if state == "accepted" and old == key:
        return False
    if state in ("accepted", "rejected", "denied") and old != key:
        raise HostError(f"{minion}: {HELD.format(minion)}")
    if state in ("rejected", "denied"):
        raise HostError(f"{minion}: its key was {state} here: `salt-key -d {minion}` forgets that")
    cache.store("keys", minion, {"pub": key, "state": "accepted"})
    return True


def _in_files(opts: Mapping[str, Any], minion: str, key: str) -> bool:
    folder = Path(opts["pki_dir"])
    known = _read(folder / ACCEPTED / minion)
    if known == key:
        return False
    if known:
        raise HostError(f"{minion}: {HELD.format(minion)}")
    for each in NOT_TAKEN:
        if _read(folder / each / minion):
            raise HostError(f"{minion}: is in {each} here: `salt-key -d {minion}` forgets that")
    _write(folder / ACCEPTED, minion, key)
    (folder / PENDING / minion).unlink(missing_ok=True)
    return True


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise HostError(f"cannot read {path}: {error.strerror}") from None


def _write(folder: Path, minion: str, key: str) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        temporary = folder / f".geats-{os.getpid()}"
        temporary.write_text(f"{key}\n")
        temporary.rename(folder / minion)
    except OSError as error:
        raise HostError(f"cannot write {folder / minion}: {error.strerror}") from None
