"""Trouble with the host: raised by adapters, turned into a value in one place (``apply``)."""


class HostError(Exception):
    """The host refused, or failed at, something that was asked of it; the text says why."""


class Refused(Exception):
    """What was asked cannot be done as asked; each problem says where and why."""

    def __init__(self, *problems: object) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = tuple(map(str, problems))
