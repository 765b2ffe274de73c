"""A key that only the registry of this host has: what is told of secrets is made with it.

A digest of what contains a secret tells it to whoever tries all that it may be. With a key that
nobody else has, a digest tells only whether something is the same. The registry is for root alone.
"""

import hmac
import secrets

from geats_host.registry import Registry

KIND, KEY = "key", "fingerprints"  # of the registry's notes
BYTES = 32
WHILE_OUTDATED = secrets.token_hex(BYTES)  # nothing is written to a registry of an older geats


def keyed(registry: Registry, digest: str) -> str:
    """*digest* under the key of this host: the same exactly if *digest* is, on this host only."""
    return hmac.new(bytes.fromhex(_key(registry)), digest.encode(), "sha256").hexdigest()


def _key(registry: Registry) -> str:
    known = registry.notes(KIND).get(KEY)
    if known is not None:
        return known
    if registry.outdated() is not None:
        return WHILE_OUTDATED
    registry.note(KIND, KEY, secrets.token_hex(BYTES))
    return registry.notes(KIND)[KEY]  # that of whoever wrote last, if two did at once
