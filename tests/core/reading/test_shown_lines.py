"""What may be secret in a line that a person added is hidden; what it is the value of is shown."""

import pytest

from geats_core.reading.shown_lines import shown_line, shown_lines

HIDES = {
    "lxc.environment = TOKEN=a b": "lxc.environment = TOKEN=(hidden)",
    "lxc.environment.runtime = A=b": "lxc.environment.runtime = A=(hidden)",
    "# lxc.environment = A=b": "# lxc.environment = A=(hidden)",
    "# the password: geheim, says Jo": "# the password: (hidden), says Jo",
    "lxc.hook.pre-start = /a/b --user x": "lxc.hook.pre-start = /a/b (hidden)",
    "lxc.net.0.script.up = /a/b 1": "lxc.net.0.script.up = /a/b (hidden)",
    "lxc.init.cmd = /app --token x": "lxc.init.cmd = /app (hidden)",
    "lxc.mount.entry = //nas/x mnt cifs user=u,password=p,ro 0 0": (
        "lxc.mount.entry = //nas/x mnt cifs user=u,password=(hidden),ro 0 0"
    ),
    "lxc.mount.entry = dav://u:p@nas/x mnt": "lxc.mount.entry = dav://(hidden)@nas/x mnt",
    "lxc.sysctl.net.ipv4.tcp_fastopen_key = 1-2": "lxc.sysctl.net.ipv4.tcp_fastopen_key = (hidden)",
    "<devices><graphics type='vnc' passwd='x'/></devices>": (
        "<devices><graphics type='vnc' passwd='(hidden)'/></devices>"
    ),
    '<q:commandline xmlns:q="u"><q:arg value="a>b"/><q:env name="A" value="b"/></q:commandline>': (
        '<q:commandline xmlns:q="u"><q:arg value="(hidden)"/><q:env name="A" value="(hidden)"/>'
        "</q:commandline>"
    ),
    "<oemStrings><entry>geheim</entry></oemStrings>": (
        "<oemStrings><entry>(hidden)</entry></oemStrings>"
    ),
    "<source startupPolicy='a' query='token=b'/>": (
        "<source startupPolicy='a' query='token=(hidden)'/>"
    ),
    "<a/> geheim": "<a/>(hidden)",
}
SAME = [
    "lxc.environment = TOKEN",
    "lxc.hook.version = 1",
    "lxc.hook.start = /a/b",
    "lxc.init.cmd = /sbin/init",
    "lxc.keyring.session = 0",
    "lxc.cap.drop = sys_admin",
    "lxc.net.0.hwaddr = 02:00:00:00:00:01",
    "lxc.mount.entry = /srv/x mnt none bind,ro,create=dir 0 0",
    "# a remark",
    "",
    '<devices><sound model="ich9" /></devices>',
]


@pytest.mark.parametrize(("line", "shown"), HIDES.items())
def test_a_value_that_may_be_secret_is_hidden(line: str, shown: str) -> None:
    assert shown_line(line) == shown
    assert shown_line(shown) == shown


def test_everything_else_is_shown() -> None:
    assert shown_lines(SAME) == tuple(SAME)
