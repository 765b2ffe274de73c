"""What becomes of a VM that is powered off."""

from enum import StrEnum


class Then(StrEnum):
    """Whether a VM that is powered off stays off, or will be started again, perhaps to be frozen.

    If it will be started again, this is recorded before it is powered off: if the plan is
    interrupted, the next one starts it, and freezes it.
    """

    OFF = "off"
    ON = "on"
    FROZEN = "frozen"
