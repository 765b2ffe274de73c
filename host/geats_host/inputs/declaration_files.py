"""The file of a configuration, rewritten: whole or not at all, and as its owner left it."""

import os
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile

from geats_host.errors import HostError, Refused
from geats_host.inputs import configuration
from geats_host.inputs.text_files import read_text


@dataclass(frozen=True, slots=True)
class DeclarationFile:
    """A file and its text, as it was read; it need not be there if it is the default one."""

    path: Path
    text: str

    @classmethod
    def at(cls, path: Path | None) -> "DeclarationFile":
        """The file at *path*, or the default one. Raises ``Refused`` if it cannot be read."""
        where = path or configuration.DEFAULT_FILE
        is_new = path is None and not where.exists()
        return cls(where, "" if is_new else read_text(where))

    def replace(self, text: str) -> None:
        """Write *text* in its place, with its owner and mode.

        Raises ``Refused`` if somebody has changed it since it was read, and ``HostError`` if the
        host fails. A link stays a link.
        """
        now = self.at(self.path).text if self.path.exists() else ""
        if now != self.text:
            raise Refused(f"{self.path}: has changed meanwhile: nothing was written, try again")
        try:
            self._write(Path(os.path.realpath(self.path)), text)
        except OSError as error:
            raise HostError(f"{self.path}: {error.strerror}") from None

    def _write(self, file: Path, text: str) -> None:
        file.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        with NamedTemporaryFile(dir=file.parent, prefix=f".{file.name}.", delete=False) as new:
            try:
                new.write(text.encode())
                new.flush()
                if file.exists():
                    seen = file.stat()
                    os.fchown(new.fileno(), seen.st_uid, seen.st_gid)
                    os.fchmod(new.fileno(), seen.st_mode & 0o7777)
                os.fsync(new.fileno())
                os.replace(new.name, file)
            except BaseException:
                os.unlink(new.name)
                raise
