"""What differs between two observations, in words: of one VM, or of a whole host."""

from collections.abc import Iterable, Mapping

from geats_core.planning.spec_changes import changes
from geats_core.reading.shown_lines import shown_lines
from geats_core.reading.sizes import format_size
from geats_core.vm.observation import ForeignNic, Observation, VolumeMissing, VolumeSeen
from geats_core.vm.spec import VMSpec


def host_differences(
    then: Mapping[str, Observation], now: Mapping[str, Observation]
) -> tuple[str, ...]:
    """Every VM that came, went or is no longer as it was, and in what."""
    found: list[str] = []
    for name in sorted({*then, *now}):
        if name not in then:
            found.append(f"{name}: is new on the host")
        elif name not in now:
            found.append(f"{name}: is gone")
        else:
            found += differences(name, then[name], now[name])
    return tuple(found)


def differences(name: str, then: Observation, now: Observation) -> tuple[str, ...]:
    """For example ``web01.power: was running, is stopped``; empty exactly when both are equal."""
    if then == now:
        return ()
    fields = [
        ("power", str(then.power), str(now.power)),
        ("to run", _yes(then.to_run), _yes(now.to_run)),
        ("to freeze", _yes(then.to_freeze), _yes(now.to_freeze)),
        ("ended", _yes(then.ended), _yes(now.ended)),
        ("locked", _yes(then.locked), _yes(now.locked)),
        ("half locked", _yes(then.half_locked), _yes(now.half_locked)),
        ("by_hand", *_by_hand(then.by_hand, now.by_hand)),
        ("foreign", _yes(then.foreign), _yes(now.foreign)),
        ("foreign nics", _nics(then.foreign_nics), _nics(now.foreign_nics)),
        ("drivers", _lines(then.drivers), _lines(now.drivers)),
        ("copy of", then.copy_of or "nothing", now.copy_of or "nothing"),
        ("renaming", str(then.renaming or "no"), str(now.renaming or "no")),
        ("unreliable", then.unreliable or "no", now.unreliable or "no"),
    ]
    return (
        *(f"{name}.{field}: was {old}, is {new}" for field, old, new in fields if old != new),
        *_specs(f"{name}.recorded", then.recorded, now.recorded),
        *_specs(f"{name}.defined", then.defined, now.defined),
        *_specs(f"{name}.in_effect", then.in_effect, now.in_effect),
        *_volumes(name, then.volumes, now.volumes),
        *_missing(name, then.missing, now.missing),
    )


def _by_hand(then: tuple[str, ...], now: tuple[str, ...]) -> tuple[str, str]:
    """The lines before and now; what differs only in what is hidden is told as that."""
    before, after = _lines(shown_lines(then)), _lines(shown_lines(now))
    only_hidden = then != now and before == after
    return before, f"{after} (what is hidden is otherwise)" if only_hidden else after


def _specs(path: str, then: VMSpec | None, now: VMSpec | None) -> Iterable[str]:
    if then is None and now is not None:
        yield f"{path}: was not there, and is"
    elif then is not None and now is None:
        yield f"{path}: was there, and is not"
    else:
        yield from (f"{path}: {change}" for change in changes(then, now))


def _volumes(name: str, then: tuple[VolumeSeen, ...], now: tuple[VolumeSeen, ...]) -> Iterable[str]:
    old = {f"{name}.volumes[{seen.pool}/{seen.name}]": seen for seen in then}
    new = {f"{name}.volumes[{seen.pool}/{seen.name}]": seen for seen in now}
    for path in sorted({*old, *new}):
        if path not in old:
            yield f"{path}: is new"
        elif path not in new:
            yield f"{path}: is gone"
        else:
            before, after = _plain(old[path]), _plain(new[path])
            yield from (
                f"{path}.{field}: was {before[field]}, is {after[field]}"
                for field in before
                if before[field] != after[field]
            )
            yield from _guests(path, old[path], new[path])


def _guests(path: str, then: VolumeSeen, now: VolumeSeen) -> Iterable[str]:
    """What the guest was configured from may be secret, so its digest is not told."""
    was, is_ = "configured" if then.guest else "none", "configured" if now.guest else "none"
    if then.guest != now.guest:
        yield f"{path}.guest: was {was}, is {is_}{' otherwise' if was == is_ else ''}"
    before = {snapshot.name: snapshot.guest for snapshot in then.snapshots}
    for each in now.snapshots:
        if before.get(each.name, each.guest) != each.guest:
            yield f"{path}.snapshots: {each.name} is of a guest that is configured otherwise"


def _missing(
    name: str, then: tuple[VolumeMissing, ...], now: tuple[VolumeMissing, ...]
) -> Iterable[str]:
    for each in (each for each in now if each not in then):
        yield f"{name}.volumes[{each.pool}/{each.name}]: is not found any more: was {each}"
    for each in (each for each in then if each not in now):
        yield f"{name}.volumes[{each.pool}/{each.name}]: was not found, and is no longer missed"


def _plain(seen: VolumeSeen) -> dict[str, str]:
    return {
        "stage": seen.stage.name.lower(),
        "active": _yes(seen.active),
        "size": "not set" if seen.size_bytes is None else format_size(seen.size_bytes),
        "template": seen.template or "none",
        "unreadable": seen.unreadable or "no",
        "snapshots": _lines(
            f"{s.name} ({s.taken_s}, {s.stage.name.lower()}, {s.template})" for s in seen.snapshots
        ),
    }


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def _nics(nics: Iterable[ForeignNic]) -> str:
    return _lines(f"[{' '.join((nic.mac, nic.pair, *nic.addresses))}]" for nic in nics)


def _lines(lines: Iterable[str]) -> str:
    return "; ".join(lines) or "none"
