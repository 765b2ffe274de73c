"""What is counted, as text for Prometheus: once, or whenever it is asked for by HTTP."""

import ipaddress
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, generate_latest, make_wsgi_app
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from geats_core.reading.checked import shown
from geats_host.errors import HostError, Refused, trouble
from geats_host.host import Host
from geats_host.inputs import configuration
from geats_host.metrics import counted

AT_ONCE = 8  # connections that are answered: each has a thread, and a descriptor of the agent
SILENCE_S = 10.0  # after which a connection is closed


class HostCollector(Collector):
    """Asks the host whenever Prometheus does."""

    def __init__(self, opened: Callable[[], Host]) -> None:
        self.opened = opened

    def describe(self) -> list[Metric]:
        """What there is; so nobody is asked before the first time."""
        return [Metric(_base(name), about, kind) for name, (kind, about) in METRICS.items()]

    def collect(self) -> Iterator[Metric]:
        """All metrics that have a value, and whether the host could be looked at at all."""
        up = Metric("geats_up", "1 if the host could be looked at", "gauge")
        metrics = {metric.name: metric for metric in self.describe()}
        try:
            for sample in counted.samples(self.opened()):
                metric = metrics[_base(sample.metric)]
                metric.add_sample(sample.metric, dict(sample.labels), sample.value)
            up.add_sample("geats_up", {}, 1)
        except (HostError, Refused):
            up.add_sample("geats_up", {}, 0)
            yield up
            return
        yield up
        yield from (metric for metric in metrics.values() if metric.samples)


METRICS = counted.METRICS


def _base(name: str) -> str:
    """As Prometheus calls the family of a counter."""
    return name.removesuffix("_total")


def text(host: Host) -> str:
    """All metrics of a host, in the text format of Prometheus."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(HostCollector(lambda: host))
    return generate_latest(registry).decode()


def serve(file: Path | None, address: str) -> None:
    """Answer Prometheus at an address such as ``127.0.0.1:9753``, in threads, until the end."""
    host, port = parsed(address)
    registry = CollectorRegistry(auto_describe=False)
    registry.register(HostCollector(lambda: Host.in_part(configuration.from_file(file))))
    kind = _ServerOfSix if ":" in host else _Server
    try:
        server = make_server(host, port, make_wsgi_app(registry), kind, _Request)
    except OSError as error:
        raise trouble(error, address) from None
    threading.Thread(target=server.serve_forever, daemon=True, name="metrics").start()


class _Server(ThreadingMixIn, WSGIServer):
    """Answers so many at once; others wait in the kernel, which takes few."""

    daemon_threads = True

    def __init__(self, *words: Any) -> None:
        self.free = threading.BoundedSemaphore(AT_ONCE)
        super().__init__(*words)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Begin to answer, once another answer is over if there are too many."""
        self.free.acquire()
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answer, and let the next begin."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self.free.release()


class _ServerOfSix(_Server):
    address_family = socket.AF_INET6


class _Request(WSGIRequestHandler):
    timeout = SILENCE_S

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing is told of each request."""


def parsed(address: str) -> tuple[str, int]:
    """An IP address and a port; without the address it is that of the loopback interface."""
    host, _, port = address.rpartition(":")
    try:
        ip = ipaddress.ip_address(host.strip("[]") or "127.0.0.1")
        if 0 < int(port) < 2**16:
            return f"{ip}", int(port)
    except ValueError:
        pass  # refused below
    raise Refused(f"--metrics: must be a port, or such as 127.0.0.1:9753, got {shown(address)}")
