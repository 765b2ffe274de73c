"""What ``luks`` asks of cryptsetup(8), and what it reads of headers and of mappings by itself."""

import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

SECTOR = 512
HEADER_BYTES = 16 * 2**20
MAGIC, VERSION = b"LUKS\xba\xbe", b"\0\2"  # LUKS2 On-Disk Format Specification, 2.1
LABEL_AT, LABEL_BYTES = 24, 48
BLOCK_DEVICES = Path("/sys/block")


@dataclass(frozen=True, slots=True)
class Cryptsetup:
    """The command lines. The key stands in ``key_file`` only; ``iterations`` 0 lets it choose."""

    key_file: str
    discard: bool = False
    pbkdf: str = "argon2id"
    iterations: int = 0

    @property
    def is_installed(self) -> bool:
        """Whether the program is there."""
        return shutil.which("cryptsetup") is not None

    def format(self, device: Path, label: str) -> list[str]:
        """Write a header, and overwrite what is there."""
        argv = ["cryptsetup", "luksFormat", "--batch-mode", "--type=luks2", f"--label={label}"]
        argv += [f"--offset={HEADER_BYTES // SECTOR}", f"--pbkdf={self.pbkdf}"]
        if self.iterations:
            argv.append(f"--pbkdf-force-iterations={self.iterations}")
        return [*argv, f"--key-file={self.key_file}", "--", f"{device}"]

    def open(self, device: Path, mapping: str) -> list[str]:
        """Decrypt: /dev/mapper/MAPPING is there afterwards."""
        argv = ["cryptsetup", "open", "--type=luks2", f"--key-file={self.key_file}"]
        argv += ["--serialize-memory-hard-pbkdf"]  # several at once would take a GiB each
        argv += ["--allow-discards"] if self.discard else []
        return [*argv, "--", f"{device}", mapping]

    def close(self, mapping: str) -> list[str]:
        """End that; it fails while anything uses it."""
        return ["cryptsetup", "close", "--", mapping]

    def resize(self, mapping: str) -> list[str]:
        """Let it be as large as what is below has become."""
        return ["cryptsetup", "resize", f"--key-file={self.key_file}", "--", mapping]

    def renew(self, device: Path, uuid: str) -> list[str]:
        """Give a clone an id of its own."""
        return ["cryptsetup", "luksUUID", "--batch-mode", f"--uuid={uuid}", "--", f"{device}"]

    def name(self, device: Path, label: str) -> list[str]:
        """Write the label."""
        return ["cryptsetup", "config", f"--label={label}", "--", f"{device}"]

    def erase(self, device: Path) -> list[str]:
        """Erase every key: what is encrypted cannot be read again."""
        return ["cryptsetup", "erase", "--batch-mode", "--", f"{device}"]


def header_label(device: Path) -> str | None:
    """The label of the LUKS2 header on *device*; None if there is none."""
    with device.open("rb") as file:
        start = file.read(LABEL_AT + LABEL_BYTES)
    if not start.startswith(MAGIC + VERSION):
        return None
    return start[LABEL_AT:].split(b"\0")[0].decode(errors="replace")


def open_mappings(block_devices: Path = BLOCK_DEVICES) -> Mapping[str, int]:
    """Every mapping that is open, of whatever kind, and how many bytes it holds."""
    found: dict[str, int] = {}
    for each in block_devices.glob("dm-*"):
        with suppress(OSError):  # closed meanwhile
            name = (each / "dm/name").read_text().strip()
            found[name] = int((each / "size").read_text()) * SECTOR
    return found
