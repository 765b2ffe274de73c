"""What is counted on a host, as plain values: each has a name, a meaning, and labels.

What is about steps comes from the journal, so it counts what everybody did; as the journal is
bounded, such a count may fall, which Prometheus takes for a restart of the counter.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from geats_core.fleet.placement import promises
from geats_core.hostwide.capacity import CPUS, MEMORY, MILLION, POOLS
from geats_core.requests.vm_filter import ListedPower
from geats_host.calls import inventory
from geats_host.host import Host
from geats_host.metrics.timings import TIMINGS
from geats_host.observing.usage import usage
from geats_host.registry import Entry, Outcome, kept_up
from geats_host.watching.history import MANY

NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_]")


@dataclass(frozen=True, slots=True)
class Sample:
    """One value of a metric."""

    metric: str
    value: float
    labels: Mapping[str, str]


METRICS: Mapping[str, tuple[str, str]] = {  # by name: the type for Prometheus, and the meaning
    "geats_vm_power": ("gauge", "1 for the power state that the VM is in, 0 for the others"),
    "geats_vm_pending_changes": ("gauge", "fields that wait for a restart of the VM"),
    "geats_vm_locked": ("gauge", "1 if the VM is protected from deletion"),
    "geats_vm_labels": ("gauge", "1; the labels of the VM, each with label_ before its name"),
    "geats_vm_cpu_seconds_total": ("counter", "time of processors since the VM started"),
    "geats_vm_uptime_seconds": ("gauge", "for how long the VM is on"),
    "geats_vm_memory_used_bytes": ("gauge", "memory that the VM uses"),
    "geats_vm_memory_limit_bytes": ("gauge", "memory that the VM may use"),
    "geats_vm_disk_read_bytes_total": ("counter", "read from disks since the VM started"),
    "geats_vm_disk_written_bytes_total": ("counter", "written to disks since the VM started"),
    "geats_vm_network_received_bytes_total": ("counter", "received since the VM started"),
    "geats_vm_network_sent_bytes_total": ("counter", "sent since the VM started"),
    "geats_vm_restarts_total": ("counter", "starts of the VM after its guest ended by itself"),
    "geats_vm_starts_total": ("counter", "starts of the VM in the journal"),
    "geats_pool_available": ("gauge", "1 if the pool can be used"),
    "geats_pool_size_bytes": ("gauge", "space of the whole pool"),
    "geats_pool_free_bytes": ("gauge", "free space of the pool"),
    "geats_pool_promised_bytes": ("gauge", "sizes of all volumes in the pool"),
    "geats_host_memory_bytes": ("gauge", "memory of the host"),
    "geats_host_memory_available_bytes": ("gauge", "memory of the host that is available"),
    "geats_host_memory_promised_bytes": ("gauge", "limits of memory of the VMs that are on"),
    "geats_host_cpus": ("gauge", "processors of the host"),
    "geats_host_cpus_promised": ("gauge", "limits of processors of the VMs that are on"),
    "geats_host_load1": ("gauge", "load of the host over one minute"),
    "geats_host_unavailable": ("gauge", "drivers, pools and parts of the configuration not usable"),
    "geats_host_strays": ("gauge", "VMs that nobody declared"),
    "geats_steps_total": ("counter", "steps in the journal that ended, by how"),
    "geats_step_seconds_total": ("counter", "time that these steps took, by their first word"),
    "geats_calls_total": ("counter", "plans and applies that this agent was asked for"),
    "geats_call_failures_total": ("counter", "those of them that were refused, or failed"),
    "geats_call_seconds_total": ("counter", "time that these took"),
}


def samples(host: Host) -> Iterator[Sample]:
    """Everything that is counted; what is not known is left out."""
    journal = host.journal(None, MANY)
    rows = inventory.list_report(host)
    yield from _of_vms(host, rows, journal)
    yield from _of_pools_and_host(host, rows)
    yield from _of_steps(journal)
    for kind, timing in TIMINGS.items():
        labels = {"call": kind}
        yield Sample("geats_calls_total", timing.count, labels)
        yield Sample("geats_call_failures_total", timing.failures, labels)
        yield Sample("geats_call_seconds_total", timing.seconds, labels)


def _of_vms(
    host: Host, rows: Mapping[str, Mapping[str, Any]], journal: Iterable[Entry]
) -> Iterator[Sample]:
    starts = Counter(
        entry.vm
        for entry in journal
        if entry.outcome is Outcome.DONE and entry.action == f"start {entry.vm}"
    )
    kept = kept_up.noted(host.registry)
    used = usage(host.drivers, host.observe_all())
    for name, row in rows.items():
        vm = {"vm": name}
        now = row["power"] or ListedPower.NONE
        for power in ListedPower:
            yield Sample("geats_vm_power", float(power == now), {**vm, "power": str(power)})
        yield Sample("geats_vm_pending_changes", row["pending"], vm)
        yield Sample("geats_vm_locked", float(row["locked"]), vm)
        said = {f"label_{NOT_IN_NAMES.sub('_', key)}": text for key, text in row["labels"].items()}
        yield Sample("geats_vm_labels", 1, {**vm, **said})
        yield Sample("geats_vm_starts_total", starts[name], vm)
        if name in kept:
            yield Sample("geats_vm_restarts_total", kept[name].restarts, vm)
        if (info := used.get(name)) is not None:
            counted = {
                "cpu_seconds_total": info.cpu_time_s,
                "uptime_seconds": info.uptime_s,
                "memory_used_bytes": info.memory_used_bytes,
                "memory_limit_bytes": info.memory_limit_bytes,
                "disk_read_bytes_total": info.disk_read_bytes,
                "disk_written_bytes_total": info.disk_written_bytes,
                "network_received_bytes_total": info.network_received_bytes,
                "network_sent_bytes_total": info.network_sent_bytes,
            }
            for key, value in counted.items():
                yield from _if_known(f"geats_vm_{key}", value, vm)


def _of_pools_and_host(host: Host, rows: Mapping[str, Mapping[str, Any]]) -> Iterator[Sample]:
    promised = promises(host.observe_all())
    for name, pool in inventory.pools_report(host).items():
        labels = {"pool": name}
        yield Sample("geats_pool_available", float(pool["problem"] is None), labels)
        yield from _if_known("geats_pool_size_bytes", pool["size_bytes"], labels)
        yield from _if_known("geats_pool_free_bytes", pool["free_bytes"], labels)
        yield Sample("geats_pool_promised_bytes", promised[f"{POOLS}{name}"], labels)
    measured: Any = inventory.host_report()
    of_host = {
        "memory_bytes": measured["memory"]["total_bytes"],
        "memory_available_bytes": measured["memory"]["available_bytes"],
        "memory_promised_bytes": promised[MEMORY],
        "cpus": measured["cpu"]["count"],
        "cpus_promised": promised[CPUS] / MILLION,
        "load1": measured["load"][0],
        "unavailable": len(host.unavailable),
        "strays": sum(name not in host.config.known for name in rows),
    }
    for key, value in of_host.items():
        yield Sample(f"geats_host_{key}", value, {})


def _of_steps(journal: Iterable[Entry]) -> Iterator[Sample]:
    """Counts by outcome, and times from the intent of each to its end."""
    begun: dict[tuple[str, str], float] = {}
    counts: Counter[tuple[str, str]] = Counter()
    seconds: defaultdict[str, float] = defaultdict(float)
    for entry in journal:
        step, key = entry.action.partition(" ")[0], (entry.vm, entry.action)
        if entry.outcome is Outcome.INTENT:
            begun[key] = entry.time_s
            continue
        counts[step, str(entry.outcome)] += 1
        if (since_s := begun.pop(key, None)) is not None:
            seconds[step] += max(0.0, entry.time_s - since_s)
    for (step, outcome), count in sorted(counts.items()):
        yield Sample("geats_steps_total", count, {"step": step, "outcome": outcome})
    for step, total in sorted(seconds.items()):
        yield Sample("geats_step_seconds_total", total, {"step": step})


def _if_known(metric: str, value: object, labels: Mapping[str, str]) -> Iterator[Sample]:
    if isinstance(value, int | float):
        yield Sample(metric, value, labels)
