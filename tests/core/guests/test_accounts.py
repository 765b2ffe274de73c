"""The users of a guest in its files, which may say anything."""

from geats_core.guests.accounts import (
    GROUP,
    GSHADOW,
    PASSWD,
    SHADOW,
    Accounts,
    Login,
    accounts,
    made_by,
    sudoers,
    with_keys,
    with_roots,
)
from geats_core.guests.users import Sudo, User

FOUND = {
    PASSWD: "root:x:0:0:root:/root:/bin/sh\ndeb:x:1000:1000::/home/deb:/bin/sh\nodd\n",
    SHADOW: "root:*:1:0:99999:7:::\ndeb:old:1:0:99999:7:::\n",
    GROUP: "root:x:0:\nadm:x:4:deb\ndeb:x:1000:\n",
    GSHADOW: "root:*::\nadm:*::deb\n",
}
KEYS = ("ssh-ed25519 AAAA",)


def made(*users: User, before: str = "", **files: str) -> Accounts:
    """What comes of these users in a guest; *files* are in place of those of FOUND."""
    found = {**FOUND, **{f"etc/{name}": text for name, text in files.items()}}
    return accounts(found, before, users).unwrap()


def wrong(*users: User, **files: str) -> list[str]:
    """Why that cannot be."""
    found = {**FOUND, **{f"etc/{name}": text for name, text in files.items()}}
    return [*map(str, accounts(found, "", users).failure())]


def test_a_new_user_has_the_next_free_id_and_joins_groups_which_are_made_if_need_be() -> None:
    ada = User(name="ada", groups=("adm", "docker"), password="$6$s$h", ssh_keys=KEYS)
    assert made(ada) == Accounts(
        files={
            PASSWD: FOUND[PASSWD] + "ada:x:1001:1001::/home/ada:/bin/sh\n",
            SHADOW: FOUND[SHADOW] + "ada:$6$s$h::0:99999:7:::\n",
            GROUP: "root:x:0:\nadm:x:4:deb,ada\ndeb:x:1000:\nada:x:1001:\ndocker:x:100:ada\n",
            GSHADOW: "root:*::\nadm:*::deb,ada\nada:!::\ndocker:!::ada\n",
        },
        logins=(Login(name="ada", uid=1001, gid=1001, home="home/ada", keys=KEYS),),
    )


def test_a_user_without_a_password_is_locked() -> None:
    assert made(User(name="ada")).files[SHADOW].endswith("\nada:!::0:99999:7:::\n")


def test_a_group_of_the_same_name_becomes_that_of_a_new_user() -> None:
    assert made(User(name="adm")).logins[0].gid == 4
    odd = made(User(name="www", uid=33), group="www:x:many:\n")
    assert odd.logins[0].gid == 33


def test_a_group_whose_id_is_taken_gets_another() -> None:
    (login,) = made(User(name="ada", uid=2000), group="games:x:2000:\n").logins
    assert (login.uid, login.gid) == (2000, 1000)


def test_a_user_of_the_template_keeps_what_nothing_is_said_of() -> None:
    found = made(User(name="deb", shell="/bin/bash", uid=1000, groups=("adm",)))
    assert found.files == {PASSWD: FOUND[PASSWD].replace("deb:/bin/sh", "deb:/bin/bash")}
    changed = made(User(name="deb", password="$6$a$b"), passwd="deb::5:6::/x:/bin/sh\n")
    assert changed.files[SHADOW].splitlines()[1] == "deb:$6$a$b:1:0:99999:7:::"
    assert changed.files[PASSWD] == "deb:x:5:6::/x:/bin/sh\n"


def test_a_user_without_a_line_of_shadow_gets_one() -> None:
    found = made(User(name="deb", password="$6$a$b"), shadow="")
    assert found.files[SHADOW] == "deb:$6$a$b::0:99999:7:::\n"
    assert made(User(name="deb"), shadow="").files == {}
    assert SHADOW not in made(User(name="odd", shell="/bin/x"), before="odd password\n").files


def test_what_geats_gave_goes_with_the_description() -> None:
    shadow = "deb:$6$a$b:1:0:99999:7:::\n"
    gone = made(before="deb password\nadm\nnobody\n", shadow=shadow)
    assert gone.files == {SHADOW: "deb:!:1:0:99999:7:::\n"}
    deb = Login(name="deb", uid=1000, gid=1000, home="home/deb", keys=(), is_gone=True)
    assert gone.logins == (deb,)
    kept = made(User(name="deb"), before="deb password\n", shadow=shadow)
    assert kept.files == gone.files
    assert made(before="deb\n", shadow=shadow).files == {}


def test_a_password_is_locked_if_what_took_it_was_interrupted() -> None:
    ada = User(name="ada", password="$6$s$h")
    both = made_by([User(name="ada")], made_by([ada]))
    assert both == "ada password\nada\n"
    shadow = FOUND[SHADOW] + "ada:$6$s$h::0:99999:7:::\n"
    passwd = FOUND[PASSWD] + "ada:x:1001:1001::/home/ada:/bin/sh\n"
    for users in ((), (User(name="ada"),)):
        found = made(*users, before=both, shadow=shadow, passwd=passwd)
        assert "ada:!::" in found.files[SHADOW]


def test_what_a_guest_says_geats_made_costs_little_whatever_it_is() -> None:
    names = [f"u{number}" for number in range(100_000)]
    passwd = "".join(f"{name}:x:1:1::/home/x:/bin/sh\n" for name in reversed(names))
    before = "".join(f"{name} password\n" for name in names) + "\x1b[2J\n\udcff\n"
    found = made(before=before, passwd=passwd)
    assert len(found.logins) == 100_000
    assert all(each.is_gone for each in found.logins)


def test_keys_for_a_user_whose_line_makes_no_sense_are_refused() -> None:
    why = "its line in /etc/passwd of the guest says no id or no home: mend it there"
    for odd in ("ada:x:many:1::/home/ada:", "ada", "ada:x:1:1::/home/a\0b:/bin/sh"):
        assert wrong(User(name="ada", ssh_keys=KEYS), passwd=f"{odd}\n") == [
            f"users.ada.ssh_keys: {why}"
        ]
        assert made(User(name="ada"), passwd=f"{odd}\n").logins == ()


def test_what_a_guest_cannot_have_is_said_at_once() -> None:
    ada, deb = User(name="ada", uid=1000), User(name="deb", uid=1001)
    assert wrong(ada, deb) == [
        "users.ada.uid: 1000 is that of another user in its guest",
        "users.deb.uid: deb has another id in its guest, to which files belong: leave uid out, or"
        " recreate it",
    ]
    everybody = "".join(f"u{each}:x:{each}:\n" for each in range(60_001))
    assert wrong(User(name="ada"), group=everybody) == [
        "users.ada.uid: there is no free id in its guest"
    ]
    systems = "".join(f"u{each}:x:{each}:\n" for each in range(1000))
    assert wrong(User(name="deb", groups=("new",)), group=systems) == [
        "users.deb.groups: there is no free id for the group new in its guest"
    ]
    assert [*map(str, accounts({PASSWD: ""}, "", [ada]).failure())] == [
        "users: there is no file /etc/shadow in its guest",
        "users: there is no file /etc/group in its guest",
    ]


def test_files_without_gshadow_and_groups_of_an_odd_shape_are_left_as_they_are() -> None:
    found = {**FOUND, GROUP: "adm:x:4\n"}
    del found[GSHADOW]
    files = accounts(found, "", [User(name="deb", groups=("adm", "new"))]).unwrap().files
    assert files == {GROUP: "adm:x:4\nnew:x:100:deb\n"}


def test_a_line_ends_only_where_the_guest_sees_its_end() -> None:
    odd = "a\x0bb:x:5:6::/x:/bin/sh\n"
    assert made(User(name="ada"), passwd=odd).files[PASSWD].startswith(odd)


def test_keys_stand_between_marks_and_other_lines_stay() -> None:
    text = with_keys("ssh-rsa BBBB own\n", KEYS)
    assert text == (
        "ssh-rsa BBBB own\n# geats: keys from here\nssh-ed25519 AAAA\n# geats: keys up to here\n"
    )
    assert with_keys(text, KEYS) == text
    assert with_keys(text + "ssh-rsa CCCC\n", ()) == "ssh-rsa BBBB own\nssh-rsa CCCC\n"


def test_root_has_the_keys_of_the_vm_beside_its_own() -> None:
    ada = User(name="ada")
    assert with_roots([ada], ()) == (ada,)
    assert with_roots([ada], KEYS) == (User(name="root", ssh_keys=KEYS), ada)
    own = User(name="root", password="$6$a$b", ssh_keys=("x", *KEYS))
    assert with_roots([own], KEYS) == (own,)
    (login,) = made(own, passwd="other:x:0:0::/:/bin/sh\nroot:x:0:0::/root:/bin/sh\n").logins
    assert login.home == "root"
    assert wrong(own, passwd="deb:x:5:5::/:/bin/sh\n") == [
        "users.root: there is no root in its guest"
    ]


def test_sudo_is_a_rule_for_each() -> None:
    users = [User(name="a", sudo=Sudo.YES), User(name="b", sudo=Sudo.ASKED), User(name="c")]
    assert sudoers(users) == (
        "# written by geats\na ALL=(ALL:ALL) NOPASSWD: ALL\nb ALL=(ALL:ALL) ALL\n"
    )
    assert sudoers(users[2:]) == ""
    assert made_by([User(name="a", password="$6$a$b"), User(name="b")]) == "a password\nb\n"
