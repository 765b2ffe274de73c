BEGIN TRANSACTION;
CREATE TABLE definition (name text primary key, spec text not null) strict;
INSERT INTO "definition" VALUES('web01','{"after": [], "autostart": {"delay": 0, "enabled": false, "priority": 0}, "binds": {}, "dns": {"nameservers": [], "search": []}, "driver": "lxc", "hostname": "web01", "init": "systemd", "memory": "512MiB", "metadata": {}, "nics": [{"addresses": ["10.0.0.2/24"], "bridge": "br0", "gateways": [], "mac": "02:d8:dd:03:93:be", "name": "eth0"}], "privileged": false, "shared_volumes": {}, "shutdown_timeout": 60, "template": "debian", "transient": false, "volumes": [{"name": "root", "pool": "default", "size": "2GiB"}, {"mount": "/data", "name": "data", "pool": "default", "read_only": false, "shared": false, "size": "1GiB"}]}');
CREATE TABLE journal (
    id integer primary key,
    time_s real not null,
    vm text not null,
    action text not null,
    outcome text not null,
    detail text not null
, origin text not null default '') strict;
INSERT INTO "journal" VALUES(1,1.5,'web01','start web01','intent','why','');
INSERT INTO "journal" VALUES(2,2.5,'web01','start web01','done','','me');
CREATE TABLE lock (name text primary key) strict;
INSERT INTO "lock" VALUES('web01');
CREATE INDEX journal_vm on journal (vm, id);
COMMIT;
pragma user_version = 2;
