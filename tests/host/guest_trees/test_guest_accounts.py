"""Users, the time zone and the minion of a guest, written into its tree, which may be hostile."""

import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from geats_core import VMSpec, parse_vm
from geats_core.guests.minion import CONF, MASTERS_KEY, PRIVATE_KEY, PUBLIC_KEY
from geats_host.errors import HostError
from geats_host.guest_trees.guest_names import configure_guest, finish_guest

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="gives files to other users")
KEY = "ssh-ed25519 AAAAC3Nz ada@laptop"
HASH = "$6$salt$hashed"
OWNER = 100_000
SHADOW_GROUP = OWNER + 42
IS_A_LINK = (
    "users.deb: the home in the guest, or .ssh in it: is a symbolic link: make it a directory;"
    " its ssh_keys are not written, until a start after that"
)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A guest as Debian makes one, whose root is OWNER on the host."""
    for folder in ("etc/skel", "home", "root", "usr/bin", "usr/share/zoneinfo/Europe"):
        (tmp_path / folder).mkdir(parents=True)
    files = {
        "etc/passwd": "root:x:0:0:root:/root:/bin/sh\ndeb:x:1000:1000::/home/deb:/bin/sh\n",
        "etc/shadow": "root:*:1:0:99999:7:::\ndeb:!:1:0:99999:7:::\n",
        "etc/group": "root:x:0:\nsudo:x:27:\ndeb:x:1000:\n",
        "etc/gshadow": "root:*::\nsudo:*::\n",
        "etc/skel/.profile": "# a profile\n",
        "usr/share/zoneinfo/Europe/Amsterdam": "TZif",
    }
    for path, text in files.items():
        (tmp_path / path).write_text(text)
    os.chmod(tmp_path / "etc/shadow", 0o640)
    os.chown(tmp_path / "etc/shadow", OWNER, SHADOW_GROUP)
    return tmp_path


def web(**keys: object) -> VMSpec:
    """A VM with these keys."""
    return parse_vm("web01", {"template": "t", **keys}).unwrap()


def configure(tree: Path, *, new: bool = True, **keys: object) -> tuple[str, ...]:
    """Let the guest be as these keys say; what is left out is said."""
    return configure_guest(tree, web(**keys), owner=OWNER, new=new)


def owned(path: Path) -> tuple[int, int, int]:
    """Whose it is, and what they may do with it."""
    seen = path.lstat()
    return seen.st_uid, seen.st_gid, stat.S_IMODE(seen.st_mode)


def test_a_new_user_has_a_home_with_keys_and_a_skeleton_that_are_the_users(tree: Path) -> None:
    ada = {"password": HASH, "groups": ["sudo"], "ssh_keys": [KEY], "sudo": True}
    os.symlink("/etc/shadow", tree / "etc/skel/link")
    os.mkfifo(tree / "etc/skel/fifo")
    configure(tree, users={"ada": ada})
    assert (tree / "etc/passwd").read_text().endswith("ada:x:1001:1001::/home/ada:/bin/sh\n")
    assert (tree / "etc/shadow").read_text().endswith(f"ada:{HASH}::0:99999:7:::\n")
    assert "sudo:x:27:ada\n" in (tree / "etc/group").read_text()
    assert owned(tree / "etc/shadow") == (OWNER, SHADOW_GROUP, 0o640)
    assert owned(tree / "etc/sudoers.d/90-geats") == (OWNER, OWNER, 0o440)
    home, own = tree / "home/ada", OWNER + 1001
    assert owned(home) == (own, own, 0o750)
    assert owned(home / ".ssh") == (own, own, 0o700)
    assert owned(home / ".ssh/authorized_keys") == (own, own, 0o600)
    assert KEY in (home / ".ssh/authorized_keys").read_text()
    assert owned(home / ".profile") == (own, own, 0o644)
    assert not {"link", "fifo"} & {*os.listdir(home)}


def test_what_geats_gave_goes_again_and_files_of_the_user_stay(tree: Path) -> None:
    users = {"ada": {"password": HASH, "ssh_keys": [KEY], "sudo": True}}
    configure(tree, users=users, ssh_keys=[KEY])
    keys = tree / "home/ada/.ssh/authorized_keys"
    keys.write_text("ssh-rsa OWN\n" + keys.read_text())
    configure(tree, users={"deb": {}}, new=False)
    assert keys.read_text() == "ssh-rsa OWN\n"
    assert "ada:!:" in (tree / "etc/shadow").read_text()
    assert not (tree / "etc/sudoers.d/90-geats").exists()
    assert (tree / "root/.ssh/authorized_keys").read_text() == ""
    assert (tree / "home/ada/.profile").exists()
    configure(tree, new=False)
    assert (tree / "var/lib/geats-guest/users").read_text() == ""


def test_no_home_is_made_for_a_user_who_is_gone(tree: Path) -> None:
    configure(tree, users={"ada": {"ssh_keys": [KEY]}, "eve": {}})
    shutil.rmtree(tree / "home/ada")
    shutil.rmtree(tree / "home/eve")
    (tree / "home/eve").write_text("no home")
    passwd = (tree / "etc/passwd").read_text().replace("eve:x:1002:", "eve:x:70000:")
    (tree / "etc/passwd").write_text(passwd)
    configure(tree, new=False)
    assert not (tree / "home/ada").exists()
    assert (tree / "home/eve").read_text() == "no home"


def test_another_name_of_a_file_that_its_user_cannot_read_gives_nothing_of_it(tree: Path) -> None:
    keys = tree / "home/deb/.ssh/authorized_keys"
    keys.parent.mkdir(parents=True)
    keys.hardlink_to(tree / "etc/shadow")
    configure(tree, users={"deb": {"ssh_keys": [KEY]}})
    assert "root:" not in keys.read_text()
    assert "root:" in (tree / "etc/shadow").read_text()


def test_no_folder_of_homes_is_made_where_a_link_of_the_guest_leads_on_the_host(
    tree: Path,
) -> None:
    outside = tree.parent / "outside"
    outside.mkdir()
    (tree / "x").symlink_to(outside)
    with (tree / "etc/passwd").open("a") as file:
        file.write("eve:x:1001:1001::/x/new/eve:/bin/sh\n")
    (left,) = configure(tree, users={"eve": {"ssh_keys": [KEY]}})
    assert left.startswith("users.eve: the home in the guest, or .ssh in it: No such file")
    assert not [*outside.iterdir()]


@pytest.mark.parametrize("home", ["/home/x\udcff\x1b[2J/y/z", "/etc/passwd", "/home/../home/."])
def test_what_is_wrong_with_a_home_is_said_without_what_the_guest_calls_it(
    tree: Path, home: str
) -> None:
    line = f"eve:x:1001:1001::{home}:/bin/sh\n"
    with (tree / "etc/passwd").open("a", errors="surrogateescape") as file:
        file.write(line)
    users = {"eve": {"ssh_keys": [KEY]}}
    if home.endswith("."):
        configure(tree, users=users)
        assert (tree / "home/.ssh/authorized_keys").exists()
    else:
        (left,) = configure(tree, users=users)
        assert left.startswith("users.eve: the home in the guest, or .ssh in it: ")
        assert left.isprintable()


def test_the_same_again_changes_nothing(tree: Path) -> None:
    keys: dict[str, object] = {"users": {"ada": {"ssh_keys": [KEY]}}, "ssh_keys": [KEY]}
    configure_guest(tree, web(**keys), owner=OWNER, new=True)
    watched = [tree / each for each in ("etc/passwd", "etc/group", "root/.ssh/authorized_keys")]
    before = [path.lstat().st_ino for path in watched]
    configure_guest(tree, web(**keys), owner=OWNER, new=False)
    assert [path.lstat().st_ino for path in watched] == before


@pytest.mark.parametrize("link", ["home/deb/.ssh", "home/deb/.ssh/authorized_keys"])
def test_no_link_in_a_home_leads_the_keys_elsewhere(tree: Path, link: str) -> None:
    """Such as to the home of root in the same guest."""
    (tree / "root/.ssh").mkdir()
    victim = tree / "root/.ssh/authorized_keys"
    victim.write_text("ssh-rsa ROOT\n")
    (tree / link).parent.mkdir(parents=True)
    (tree / link).symlink_to(
        "/root/.ssh" if link.endswith(".ssh") else "/root/.ssh/authorized_keys"
    )
    deb = {"deb": {"ssh_keys": [KEY]}}
    if link.endswith(".ssh"):
        assert configure(tree, users=deb) == (IS_A_LINK,)
    else:
        assert configure(tree, users=deb) == ()
        assert KEY in (tree / link).read_text()
    assert victim.read_text() == "ssh-rsa ROOT\n"


def test_a_home_that_cannot_be_written_is_tried_again_before_a_start(tree: Path) -> None:
    """The other users have their keys meanwhile, and the VM starts."""
    (tree / "home/deb").mkdir()
    link = tree / "home/deb/.ssh"
    link.symlink_to("/elsewhere")
    users = {"deb": {"ssh_keys": [KEY]}, "zoe": {"ssh_keys": [KEY]}}
    spec = web(users=users)
    assert configure(tree, users=users) == (IS_A_LINK,)
    assert KEY in (tree / "home/zoe/.ssh/authorized_keys").read_text()
    assert finish_guest(tree, spec, owner=OWNER) == (IS_A_LINK,)
    link.unlink()
    assert finish_guest(tree, spec, owner=OWNER) == ()
    assert KEY in (link / "authorized_keys").read_text()
    (link / "authorized_keys").write_text("")
    assert finish_guest(tree, spec, owner=OWNER) == ()
    assert (link / "authorized_keys").read_text() == ""


def test_what_one_user_did_to_a_home_changes_no_password_of_another(tree: Path) -> None:
    (tree / "home/deb").mkdir()
    (tree / "home/deb/.ssh").symlink_to("/elsewhere")
    users = {"deb": {"ssh_keys": [KEY]}, "zoe": {"password": HASH}}
    configure(tree, users=users)
    shadow = tree / "etc/shadow"
    shadow.write_text(shadow.read_text().replace(HASH, "$6$zoe$own"))
    assert finish_guest(tree, web(users=users), owner=OWNER) == (IS_A_LINK,)
    assert "zoe:$6$zoe$own:" in shadow.read_text()


def test_what_is_tried_again_before_a_start_keeps_no_vm_from_it(tree: Path) -> None:
    """A user can have it tried again; what root did to accounts since matters to no other start."""
    (tree / "home/deb").mkdir()
    (tree / "home/deb/.ssh").symlink_to("/elsewhere")
    users = {"deb": {"ssh_keys": [KEY]}}
    configure(tree, users=users)
    (tree / "etc/shadow").unlink()
    (told,) = finish_guest(tree, web(users=users), owner=OWNER)
    assert told.startswith("web01: users: there is no file /etc/shadow in its guest; ssh_keys that")


def test_keys_of_a_user_who_is_gone_are_taken_away_once_a_home_lets_them(tree: Path) -> None:
    """Nobody keeps access by hiding the keys behind a link until geats has forgotten them."""
    configure(tree, users={"deb": {"ssh_keys": [KEY], "password": HASH}, "zoe": {}})
    link, hidden = tree / "home/deb/.ssh", tree / "home/deb/.ssh2"
    link.rename(hidden)
    link.symlink_to(".ssh2")
    stays = IS_A_LINK.replace("are not written", "stay there")
    assert configure(tree, users={"zoe": {}}, new=False) == (stays,)
    spec = web(users={"zoe": {}})
    for _ in range(2):
        assert finish_guest(tree, spec, owner=OWNER) == (stays,)
    link.unlink()
    hidden.rename(link)
    assert finish_guest(tree, spec, owner=OWNER) == ()
    assert (link / "authorized_keys").read_text() == ""
    assert (tree / "var/lib/geats-guest/users").read_text() == "zoe\n"


def test_links_of_a_guest_lead_nowhere_on_the_host(tree: Path) -> None:
    outside = tree.parent / "outside"
    outside.mkdir(exist_ok=True)
    (tree / "home").rmdir()
    (tree / "home").symlink_to(outside)
    assert len(configure(tree, users={"ada": {"ssh_keys": [KEY]}})) == 1
    assert [*outside.iterdir()] == []
    (tree / "home").unlink()
    (tree / "home").symlink_to("/srv")
    (tree / "srv").mkdir()
    configure(tree, users={"ada": {"ssh_keys": [KEY]}})
    assert (tree / "srv/ada/.ssh/authorized_keys").is_file()


@pytest.mark.parametrize("path", ["etc/passwd", "etc/shadow", "etc/group"])
def test_accounts_that_are_no_files_are_refused(tree: Path, path: str) -> None:
    (tree / path).unlink()
    (tree / path).symlink_to("/etc/hosts")
    with pytest.raises(HostError, match=rf"web01: users: there is no file /{path} in its guest"):
        configure(tree, users={"ada": {}})


def test_ids_beyond_those_of_the_guest_are_given_nothing(tree: Path) -> None:
    (tree / "etc/passwd").write_text("ada:x:4294967295:0::/home/ada:/bin/sh\n")
    (left,) = configure(tree, users={"ada": {"ssh_keys": [KEY]}})
    assert left.startswith("users.ada: has an id above 65533 in its guest;")
    assert not (tree / "home/ada").exists()


def test_a_home_that_is_missing_is_made_and_so_is_where_homes_are(tree: Path) -> None:
    (tree / "home").rmdir()
    configure(tree, users={"ada": {}})
    assert owned(tree / "home") == (OWNER, OWNER, 0o755)
    assert (tree / "home/ada").is_dir()
    (tree / "etc/passwd").write_text("www:x:33:33::/var/www:/bin/sh\n")
    configure(tree, users={"www": {}})
    assert not (tree / "var/www").exists()


def test_the_clock_of_a_guest_shows_the_time_of_its_zone(tree: Path) -> None:
    (tree / "etc/localtime").write_text("of the template")
    configure(tree, timezone="Europe/Amsterdam")
    assert os.readlink(tree / "etc/localtime") == "/usr/share/zoneinfo/Europe/Amsterdam"
    assert owned(tree / "etc/localtime")[:2] == (OWNER, OWNER)
    assert (tree / "etc/timezone").read_text() == "Europe/Amsterdam\n"


def test_a_guest_without_time_zones_gets_that_of_the_host_or_is_refused(tree: Path) -> None:
    if Path("/usr/share/zoneinfo/Etc/UTC").exists():
        configure(tree, timezone="Etc/UTC")
        assert (tree / "etc/localtime").read_bytes()[:4] == b"TZif"
    for zone in ("Mars/Base", "Europe"):
        with pytest.raises(HostError, match=f"neither the guest nor the host knows '{zone}'"):
            configure(tree, timezone=zone)


MINION = {"master": "salt.example.org"}


def test_a_minion_is_seeded_with_keys_of_its_own(tree: Path) -> None:
    (tree / "usr/bin/salt-minion").touch()
    for path in (PRIVATE_KEY, PUBLIC_KEY, MASTERS_KEY):
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        (tree / path).write_text("of the template")
    configure(tree, minion=MINION)
    assert '"id": "web01"' in (tree / CONF).read_text()
    assert owned(tree / PRIVATE_KEY) == (OWNER, OWNER, 0o400)
    assert not (tree / MASTERS_KEY).exists()
    argv = ["openssl", "pkey", "-in", str(tree / PRIVATE_KEY), "-pubout"]
    public = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    assert (tree / PUBLIC_KEY).read_text() == public
    (tree / MASTERS_KEY).write_text("of this master")
    configure(tree, minion={**MINION, "config": {"log_level": "info"}}, new=False)
    assert (tree / PUBLIC_KEY).read_text() == public
    assert (tree / MASTERS_KEY).exists()
    assert owned(tree / CONF) == (OWNER, OWNER, 0o600)  # it may contain secrets
    configure(tree, minion={**MINION, "id": "copy"}, new=False)
    assert (tree / PUBLIC_KEY).read_text() != public
    configure(tree, minion={"master": "other", "id": "copy"}, new=False)
    assert not (tree / MASTERS_KEY).exists()
    configure(tree, new=False)
    assert not (tree / CONF).exists()
    assert (tree / PRIVATE_KEY).exists()


def test_a_configuration_of_somebody_else_stays(tree: Path) -> None:
    (tree / CONF).parent.mkdir(parents=True)
    (tree / CONF).write_text("master: own\n")
    configure(tree)
    assert (tree / CONF).read_text() == "master: own\n"


def test_a_template_without_a_minion_is_refused_unless_it_will_be_installed(tree: Path) -> None:
    with pytest.raises(HostError, match="web01: minion: there is no salt-minion in its guest"):
        configure(tree, minion=MINION)
    configure(tree, minion={**MINION, "install": True})
    assert (tree / CONF).exists()
