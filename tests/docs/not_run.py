"""Why some command lines of the documentation are not run by ``test_every_command``.

Each is a pattern of whole lines, as they stand on a page, and where else it is tried, or why it
cannot be. A pattern that fits no line fails the tests: it has to go.
"""

from collections.abc import Mapping

FOLLOWS = (
    "it goes on until Ctrl-C: tests/host/cli/test_history.py, tests/host/calls/guests/test_logs.py"
)
FOREIGN = "it reads files of another program: tests/core and tests/host have such files, see there"
IN_GUEST = "it runs what a real guest has: tests/real/test_guest.py, and tests/real/machines"
MACHINE = "it changes the machine that it runs on"
NETWORK = "it needs another host, or the Internet"
OF_SALT = "a master or a minion takes it: tests/docs/test_salt_commands.py, tests/real/minions"
TERMINAL = "it needs a terminal: tests/host/cli/test_cli_guest.py, and tests/real/test_guest.py"
THE_CHECKS = "it runs the tests themselves, or what script/test runs"
WHOLE_PAGE = "tests/docs/test_commands.py and tests/real/test_walkthrough.py run the whole page"

PAGES: Mapping[str, str] = {
    "how-to/plan-in-ci.md": WHOLE_PAGE,
    "how-to/troubleshooting.md": WHOLE_PAGE,
    "tutorial/command-line.md": WHOLE_PAGE,
}
NOT_RUN: Mapping[str, str] = {
    r"salt(-call|-run|-pip)? .*": OF_SALT,
    r"(apt|apt-get|ip|systemctl|sysctl|ln|rm|/opt/\S+|script/(install|deb|template)) ?.*": MACHINE,
    r"(pip|python3 -m (pip|venv)|echo (root|fs|/usr)\S*|export) .*": MACHINE,
    r"script/(test|vm|mutation|demo).*|python .*": THE_CHECKS,
    r"(ruff|mypy|pyright|sphinx-build)( .*)?": THE_CHECKS,
    r"(scp|rsync|git clone|incus|virsh|virt-install|ping) .*": NETWORK,
    r"(mkdir|printf|sed) .*": "a shell's own; what it makes is for the commands around it",
    r"check-jsonschema .*": "tests/property/test_schema_laws.py checks the schema",
    r"editor .*|geats (edit|console) .*|geats shell .*|geats exec -t .*": TERMINAL,
    r"geats ssh .*": "it becomes ssh: tests/host/cli/test_cli_guest.py",
    r"varlinkctl .*|geats agent .*": "it needs a second program: tests/real/test_agent.py",
    r"echo '\{.*geats_jsonagent": "tests/host/first_geats/test_jsonagent.py",
    r"geats (logs|events) .*(-f|--follow).*": FOLLOWS,
    r"geats logs .*|geats exec .*": IN_GUEST,
    r"geats wait .*-- .*|geats wait web01 --until ready": IN_GUEST,
    r"geats (push|pull) .*": IN_GUEST,
    r"geats import-.*|geats adopt .*": FOREIGN,
    r"geats templates (search|import|verify) .*|geats templates verify": NETWORK,
    r"geats (doctor|init)\b.*": "it looks at the machine: tests/host/examining",
    r"geats units.*": f"{MACHINE}: tests/host/calls/test_units.py",
    r"geats rename .*": "the name in the description comes first: tests/host/calls/test_rename.py",
    r"geats volumes (remove|attach) .*": "tests/host/calls/test_volumes.py",
    r"geats publish .*": "there is nothing in a volume in memory: tests/real/test_copies.py",
}
