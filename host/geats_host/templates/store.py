"""What was downloaded or built for templates: files by their sha256, and which source has which.

``blobs/SHA256`` is complete, or not there: it is written in a directory of ``scratch`` and renamed.
``disks/SHA256`` is the raw disk of the qcow2 image with that digest, complete as well.
``records/ID.json`` names the blobs of one source as it is declared, and ``verified/ID.json`` says
which template was found sound (``verified``). What a crash leaves in
``scratch`` is held by no process any more, and is swept away.
"""

import fcntl
import hashlib
import json
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from geats_core.reading import file_formats
from geats_core.reading.fields import SHA256
from geats_core.reading.values import dataclass
from geats_host.errors import HostError
from geats_host.guest_trees import trees
from geats_host.templates.name_locks import NamedLock, named_lock, one_of_slots

UNPACKING_AT_ONCE = max(1, (os.cpu_count() or 1) // 2)  # more of them are slower, not faster
DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
PARTS = ("blobs", "disks", "records", "verified", "scratch")


@dataclass(frozen=True, slots=True)
class Store:
    """The files at *root*, and the locks in *run_dir*. Methods raise ``HostError``."""

    root: Path
    run_dir: Path

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """While this lasts, no blob is removed."""
        with named_lock(self.run_dir, "store") as lock:
            lock.share()
            yield

    @contextmanager
    def locked(self, name: str) -> Iterator[NamedLock]:
        """The lock of a source's record, or of an unpacked template: see ``named_lock``."""
        with named_lock(self.run_dir, name) as lock:
            yield lock

    @contextmanager
    def unpacking(self) -> Iterator[None]:
        """Wait until few enough others unpack."""
        with one_of_slots(self.run_dir, "unpacking", UNPACKING_AT_ONCE):
            yield

    def blob(self, sha256: str) -> Path:
        """Where the file with that digest is, or would be."""
        if not SHA256.fullmatch(sha256):
            raise HostError(f"{sha256!r} names no file in {self.root}")
        return self.root / "blobs" / sha256

    def disk(self, sha256: str) -> Path:
        """Where the raw disk of the image with that digest is, or would be."""
        return self.root / "disks" / self.blob(sha256).name

    def keep(self, path: Path, sha256: str) -> Path:
        """Move a complete file from scratch to the place of its digest, durably."""
        return self._keep(path, self.blob(sha256))

    def keep_disk(self, path: Path, sha256: str) -> Path:
        """Move the raw disk of an image from scratch to the place of the image's digest."""
        return self._keep(path, self.disk(sha256))

    def _keep(self, path: Path, kept: Path) -> Path:
        with _host_errors(kept):
            with path.open("rb") as file:
                os.fsync(file.fileno())
            path.rename(kept)
            _sync_directory(kept.parent)
        return kept

    def discard(self, sha256: str) -> None:
        """Remove a file, which is damaged."""
        with _host_errors(self.blob(sha256)):
            self.blob(sha256).unlink(missing_ok=True)

    def record(self, name: str) -> Mapping[str, str]:
        """Which blobs a source has, by what each is for; none if it has no sound record."""
        path = self.root / "records" / f"{name}.json"
        try:
            raw = json.loads(path.read_bytes())
        except (FileNotFoundError, ValueError):
            return {}
        except OSError as error:
            raise HostError(f"{self.root}: {error.strerror}") from None
        blobs = raw if isinstance(raw, dict) else {}
        why = file_formats.newer(blobs.pop(file_formats.FORMAT, None), file_formats.TEMPLATES)
        if why:
            raise HostError(f"{path}: {why}: install that geats, or remove it to fetch it again")
        sound = all(isinstance(each, str) and SHA256.fullmatch(each) for each in blobs.values())
        return blobs if sound and all(self.blob(each).is_file() for each in blobs.values()) else {}

    def files_of(self, name: str) -> tuple[Path, ...]:
        """A source's record, and its blobs."""
        record = self.root / "records" / f"{name}.json"
        return (record, *map(self.blob, self.record(name).values()))

    def write_record(self, name: str, blobs: Mapping[str, str]) -> None:
        """Remember, whole and durably, which blobs a source has."""
        records = self.root / "records"
        with self.scratch() as scratch, _host_errors(records):
            new = scratch / "record"
            new.write_text(json.dumps({file_formats.FORMAT: file_formats.TEMPLATES, **blobs}))
            with new.open("rb") as file:
                os.fsync(file.fileno())
            new.rename(records / f"{name}.json")
            _sync_directory(records)

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """A new directory, which is gone in the end, or with the next sweep after a crash."""
        with _host_errors(self.root):
            path, descriptor = self._new_scratch()
        try:
            yield path
        finally:
            with suppress(OSError):  # the next sweep tells what is in the way
                trees.empty(descriptor)
                path.rmdir()
            os.close(descriptor)

    def _new_scratch(self) -> tuple[Path, int]:
        for part in PARTS:
            (self.root / part).mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self.root / "scratch" / secrets.token_hex(8)
        with named_lock(self.run_dir, "scratch") as sweep:
            sweep.hold()
            path.mkdir(mode=0o700)
            descriptor = os.open(path, DIRECTORY)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        return path, descriptor

    def leftovers(self) -> tuple[Path, ...]:
        """The directories of scratch that a crash left."""
        if not _entries(self.root / "scratch"):
            return ()  # and no lock either, whose file would be made for it
        with named_lock(self.run_dir, "scratch") as sweep:
            sweep.hold()
            return tuple(path for path in _entries(self.root / "scratch") if _is_left(path))

    def files(self) -> tuple[Path, ...]:
        """Every blob, disk, record, and what is known of sound templates."""
        return tuple(e for part in PARTS if part != "scratch" for e in _entries(self.root / part))


def record_name(*words: str) -> str:
    """Names the record of a source that is declared in these words."""
    return hashlib.sha256("\0".join(words).encode()).hexdigest()


def _is_left(path: Path) -> bool:
    with suppress(FileNotFoundError):
        descriptor = os.open(path, DIRECTORY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            return False
        finally:
            os.close(descriptor)
    return False


def _entries(directory: Path) -> tuple[Path, ...]:
    try:
        return tuple(sorted(directory.iterdir()))
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise HostError(f"{directory}: {error.strerror}") from None


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _host_errors(place: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise HostError(f"{place}: {error.strerror}") from None
