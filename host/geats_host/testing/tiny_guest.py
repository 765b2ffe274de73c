"""The guest of a virtual machine in one sector: it does nothing, and powers off if it is asked to.

It needs no kernel and no image from elsewhere, and is there in a moment, also where all of the
machine is emulated: for tests and demonstrations.
"""

from pathlib import Path

# 16-bit code: let the power button be reported; then, at each tick of the clock, let go of whatever
# device is to be unplugged (ACPI's PCI hot-plug of a q35), until the button is pressed; then power
# off (ACPI's PM1 block, where SeaBIOS puts it).
GUEST = bytes.fromhex(
    "ba0206 b80001 ef"  # mov dx, PM1_EN; mov ax, PWRBTN_EN; out dx, ax
    "fb f4 6631c9"  # wait: sti; hlt; xor ecx, ecx
    "bad00c 6689c8 66ef"  # bus: mov dx, PCI_SEL; mov eax, ecx; out dx, eax
    "bac40c 66ed 6685c0 7405"  # mov dx, PCI_DOWN; in eax, dx; test eax, eax; jz next
    "bac80c 66ef"  # mov dx, PCI_EJ; out dx, eax
    "41 83f940 72e3"  # next: inc cx; cmp cx, 64; jb bus
    "ba0006 ed f6c401 74d5"  # mov dx, PM1_STS; in ax, dx; test ah, 1; jz wait
    "ba0406 b80020 ef"  # mov dx, PM1_CNT; mov ax, SLP_EN; out dx, ax
    "fb f4 ebfc"  # sti; hlt; jmp $-2
)
DISK_BYTES = 1 << 20


def root_disk(path: Path) -> Path:
    """Make a raw image of a disk with that guest."""
    with path.open("wb") as disk:
        disk.write(GUEST.ljust(510, b"\0") + b"\x55\xaa")
        disk.truncate(DISK_BYTES)
    return path
