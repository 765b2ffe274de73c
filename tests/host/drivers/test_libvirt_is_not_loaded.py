"""Hosts without virtual machines pay nothing for them, and nothing but children calls libvirt."""

import ast
import json
import subprocess
import sys
from pathlib import Path

REPO = Path(__file__).parents[3]
ASKS = """
import json, sys
from geats_host.cli.main import main
sys.argv = ["geats", "--config", sys.argv[1], "plan"]
try:
    main()
except SystemExit as ended:
    names = [name for name in sys.modules if "libvirt" in name or ".domains" in name]
    print(json.dumps([ended.code, sorted(names)]))
"""


def test_a_plan_of_a_host_of_containers_loads_nothing_of_libvirt(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    config = {
        "state_dir": f"{tmp_path}/state",
        "run_dir": f"{tmp_path}/run",
        "templates": {"debian": {"path": f"{tmp_path}/tree"}},
        "drivers": {"lxc": {}, "memory": {}},
        "vms": {"web01": {"template": "debian", "driver": "memory"}},
    }
    (tmp_path / "geats.json").write_text(json.dumps({"geats": config}))
    argv = [sys.executable, "-c", ASKS, f"{tmp_path}/geats.json"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, cwd="/")
    assert "web01" in done.stdout, done.stderr
    assert json.loads(done.stdout.splitlines()[-1])[1] == []


def test_no_module_but_children_imports_libvirt() -> None:
    importing = [
        f"{file}"
        for folder in ("core", "host", "salt")
        for file in (REPO / folder).rglob("*.py")
        if "scripts" not in file.parts
        for node in ast.walk(ast.parse(file.read_text()))
        if "libvirt"
        in (
            *(each.name for each in getattr(node, "names", ()) if isinstance(node, ast.Import)),
            node.module if isinstance(node, ast.ImportFrom) and not node.level else "",
        )
    ]
    assert importing == []
