# Every key of geats at least once. Keys that are commented out show their default, or one way to use them.
# Only `vms` and `templates` are needed. `geats schema` prints the schema of this file for editors;
# `salt '*' geats.validate` checks its content on the minion.
geats:
  # Where geats keeps permanent data (registry, templates, LXC's configurations), and temporary data.
  # state_dir: /var/lib/geats
  # run_dir: /run/geats
  # registry: sqlite           # or {type: NAME, ...}, with options of a registry of another package
  # lock: flock                # what keeps two operations apart

  # How VMs are run, with the options of each driver. Without this: `lxc`, with its defaults.
  drivers:
    lxc:
      path: /var/lib/geats/lxc
      timeout: 30
      # python: auto             # or the path of the Python whose liblxc binding to use
      # settle: 1                 # seconds that a started container must stay up
      # idmap_first: 100000       # default: root's range in /etc/subuid and /etc/subgid
      # idmap_count: 65536

    # Virtual machines, on libvirt; `qemu` emulates them. Also `xen` and `vz`, which nobody has run yet.
    kvm:
      uri: qemu:///system
      # timeout: 30
      # python: auto             # the Python whose binding to libvirt to use
      # settle: 0.5
      media: [/srv/iso]          # where the files of `hardware.cdrom` may be
      # raw_xml: false           # whether `hardware.xml` is allowed

  # Where volumes come from. Without this: `default`, a directory in the state directory.
  # A pool has a `type`, the options of that plugin, and optionally `on`, the pool below it.
  pools:
    default:
      type: directory
      path: /srv/geats/volumes
    images:
      type: filesystem
      fstype: ext4
      on: {type: sparsefile, path: /srv/geats/images}

    disks:                       # files that are the disks of virtual machines
      type: sparsefile
      path: /srv/disks
    nfs:                         # files that several hosts see: each VM there is that of one host
      type: sparsefile
      path: /mnt/nfs/disks
      shared: true

  # Directories of the host that VMs may bind, including everything below them.
  bind_sources: [/srv/media]
  # Devices of the host that VMs may have.
  device_sources: [/dev/net/tun, /dev/dri]
  # Directories of programs that VMs may run on the host.
  hook_directories: [/etc/geats/hooks]

  # How much may be promised, as factors of what the host has; and what to do with VMs that nobody declared:
  # report, stop or ignore, for each pattern of names (the first that matches counts).
  policy:
    overcommit: {memory: 1, cpus: 16, disk: 1.5}
    journal: {days: 365, entries: 100000}
    # Which exports to keep, for each VM separately: `geats prune-exports` deletes the others.
    # exports: {last: 3, hourly: 0, daily: 7, weekly: 4, monthly: 12}
    # Which snapshots to keep of those that are named for their time: `geats prune-snapshots` deletes the others.
    # snapshots: {last: 3, daily: 7}
    strays: {'tmp-*': ignore, '*': report}
    # Whether a VM starts only with claims: `salt-run geats.claim` holds its name and addresses for this host.
    claims: ignored               # or required
    # How many VMs that nobody named one plan may power off, undefine or empty.
    at_most: 1
    # How many VMs of one profile may be down at a time while they restart: a number, or a part such as 50%.
    at_once: 50%
    by: profile                   # or label:NAME
    host_network: false           # whether VMs may have the network of the host
    raw_lines: [lxc.time.*]       # keys of LXC of which VMs may have lines of their own

  # Who may ask `geats agent`, beside root: unix groups, and what their members may.
  agent:
    allow: {monitoring: [read], operators: [read, apply], owners: [read, apply, data_loss]}

  # Where an event geats/VM/STEP is sent for each applied step: `minion` (this minion's event bus), `master` (also
  # the master's), or `none`.
  # events: minion

  # What root volumes are filled with: one source each, and overlays on top in this order.
  templates:
    debian:
      path: /srv/geats/templates/debian-12.tar.zst
      # Verified before anything changes:
      # sha256: 0000000000000000000000000000000000000000000000000000000000000000
      overlays:
        - /srv/geats/templates/our-settings.tar.gz
        - path: /srv/geats/templates/our-keys
      # or, for a single one:
      # overlay: /srv/geats/templates/our-settings.tar.gz
      # overlay_sha256: 0000000000000000000000000000000000000000000000000000000000000000
    app:
      oci: {path: /srv/geats/templates/app-oci, tag: stable}
    fedora:
      image:                      # of LXD or distrobuilder
        path: /srv/geats/templates/fedora/meta.tar.xz
        rootfs: /srv/geats/templates/fedora/rootfs.squashfs
        # rootfs_sha256: 0000000000000000000000000000000000000000000000000000000000000000
    alpine:
      simplestreams: {url: 'https://images.linuxcontainers.org', alias: alpine/3.20, arch: amd64}
    machine:                      # roots of virtual machines: disk images, in pools of files or block devices
      disk: {path: /srv/geats/templates/debian-12.qcow2, format: qcow2}   # or raw
    blank: {empty: tree}          # or disk: the root of a VM that installs itself, or that people fill
    cloud:
      disk:
        url: https://cloud.example.org/debian-12.raw
        format: raw
        disk_size: 3GiB           # so that plans count it before it is downloaded
        sha256: e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
    served:
      simplestreams: {url: 'https://images.linuxcontainers.org', alias: debian/12, kind: disk}
    built:
      build:                      # {output} is replaced with the path of the tarball
        command: [mmdebstrap, --variant=minbase, bookworm, '{output}']
        timeout: 3600

  # Named defaults for VMs; a VM's own keys win.
  profiles:
    small:
      template: debian
      memory: 256MiB
      cpus: 1
      processes: 512
      dns:
        nameservers: [10.0.3.1]
        search: [example.org]

  vms:
    web01:
      profile: small              # or a list; later ones override earlier ones
      memory: 512MiB
      labels: {owner: ada, role: web}   # for lists, filters and placement; no effect in the guest
      description: the shop, behind the proxy
      hostname: web01.example.org
      after: [db01]               # db01 starts before it, and stops after it
      autostart: {enabled: true, priority: 10, delay: 5, groups: [shop]}
      # When it is ready after a start: command, tcp or http. What comes after it waits for that.
      ready: {http: ':80/health', status: 200, timeout: 30s}
      volumes:
        - name: root              # the template is installed on it
        - name: data
          mount: /srv/data
          pool: images
          size: 10GiB             # it grows when this does, and never shrinks
          read_only: false
        - name: uploads
          mount: /srv/uploads
          shared: true            # other VMs may mount it
      binds:                      # directories of the host
        later: {source: /srv/media/later, mount: /srv/later, read_only: false, recursive: true, propagation: slave}
        films: {source: /srv/media/films, mount: /srv/films, read_only: true}
        # hosts: {source: /etc/hosts, mount: /etc/hosts, file: true, optional: true}
        # all: {source: /srv/media, mount: /srv/all, recursive: true}   # with what is mounted below it
      nics:
        - name: eth0
          bridge: br0
          # mac: '02:00:00:12:34:56'   # default: derived from the names of VM and NIC
          addresses: [10.0.3.11/24, 'fd00:3::11/64']
          gateways: [10.0.3.1]
          # host_name: web01          # its end on the host; mtu: 1400; link: down
          # vlan: 20                  # the VLAN of the port; and with tags: trunk: [30, 31]
          # rate: {in: 10MiB, out: 5MiB}     # bytes per second
          # routes: [{to: 10.9.0.0/16, via: 10.0.3.254}]
          # ipv6: {ra: true, token: '::5'}   # and dhcp: true; both need guest_network
        # - {name: eth1, type: macvlan, parent: enp1s0, mode: bridge, mac: '00:16:3e:xx:xx:xx'}
        # - {name: eth2, type: routed, addresses: [198.51.100.7/32], gateways: [169.254.1.1]}
        # - {name: eth3, type: physical, parent: enp2s0}       # or veth, ipvlan, vlan
      # guest_network: auto       # or systemd-networkd, ifupdown, networkmanager, netplan
      metadata:                   # for /etc/firstboot.config in the guest
        ROLE: web server
      timezone: Europe/Amsterdam
      ssh_keys: [ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBx0 admin@example.org]    # of root
      users:
        ada: {groups: [sudo], shell: /bin/bash, sudo: true}
        # bob: {uid: 1200, sudo: asked, password: $6$...}    # a hash, as openssl passwd -6 makes it
      # minion: {master: salt.example.org, id: web01, config: {log_level: info}, install: false}

    db01:
      profile: [small]
      driver: lxc
      init: systemd               # default: auto, which is whatever runs in the guest
      privileged: false
      # idmap: auto               # a range of its own; or {count: 131072, through: [1000]}, also with first: 200000
      idmap:                      # default: the host's range, which all VMs share
        - {guest: 0, host: 200000, count: 65536}   # ids: users, or groups, for these only
      # includes: [/usr/share/lxc/config/common.conf]   # instead of LXC's own
      nesting: false              # Docker or Podman in the guest
      # mount_auto: [proc:mixed, sys:ro, cgroup:mixed]
      capabilities: {drop: [net_raw]}   # or keep: [...], and no other
      # apparmor: unconfined      # generated, or a profile of the host
      # seccomp: /etc/lxc/strict.seccomp   # or none
      # selinux: system_u:system_r:lxc_t:s0:c1,c2
      no_new_privileges: true
      sysctls: {net.core.somaxconn: 1024}
      rlimits: {nofile: '1024:65536'}
      oom_score: 100
      keyring: true
      host_network: false         # true: that of the host, privileged, without nics
      tmpfs: {/dev/shm: 1GiB, /run/cache: {size: 64MiB, mode: '0755'}}
      hooks:                      # programs of the host, from hook_directories
        pre-start: /etc/geats/hooks/wait-for-nas
        post-stop: [/etc/geats/hooks/tell]
      raw: [lxc.time.offset.boot = 1h]   # if policy.raw_lines takes it
      devices:                    # of the host, if device_sources allows them
        tun: /dev/net/tun
        gpu: {source: /dev/dri, mount: /dev/dri, access: rw, optional: true}
      # hardware: {}              # keys that only the driver has: see office01; lxc has none
      power: running              # or stopped, frozen, or defined: apply holds it so
      restart: on-failure         # or always: if its guest ends by itself; default: no
      enabled: true               # false: it is off, and nothing starts it
      # A program in place of an init, with init: none
      # command: [/usr/sbin/sshd, -D, -e]
      # user: 33
      # group: 33
      # cwd: /var/www
      # stop_signal: SIGQUIT
      # from_image: {}            # nothing of what its OCI image says; default: all of it
      environment: {TZ: Europe/Berlin}    # of process 1
      ttys: 2
      console_log: 1MiB           # of its console, for geats logs
      cpuset: 0-3                 # CPUs of the host
      cpu_weight: 200             # twice the share of other VMs, if CPU time is scarce
      swap: 0                     # nothing of it is swapped out
      memory_soft: 1536MiB        # from there on, the kernel takes memory back from it
      # hugepages: {2MiB: 256MiB}
      # io_weight: 50
      # io: [{device: '8:0', read: 50MiB, write: 20MiB, read_ops: 500, write_ops: 200}]
      # cgroup: {memory.swappiness: 10}     # further files of its cgroup: v1, and v2
      # cgroup2: {memory.oom.group: 1}
      transient: false            # undefine keeps the volumes
      ready: {tcp: 5432}
      memory: 2GiB
      cpus: 2
      shutdown_timeout: 120
      autostart: true
      shared_volumes:             # volumes of other VMs
        uploads: {vm: web01, volume: uploads, pool: default, mount: /srv/uploads, read_only: true}
      nics:
        - name: eth0
          bridge: br0
          addresses: [10.0.3.12/24]
          gateways: [10.0.3.1]

    office01:                     # a virtual machine
      driver: kvm
      template: machine
      memory: 4GiB
      cpus: 2
      after: [db01]
      volumes:
        - {name: root, pool: disks, size: 20GiB}
        - {name: data, pool: disks, size: 100GiB, mount: /srv}
      nics:
        - {name: eth0, bridge: br0, addresses: [10.0.3.13/24], gateways: [10.0.3.1]}
      hardware:
        max_memory: 8GiB          # as far as memory and cpus change without a restart
        max_cpus: 4
        firmware: uefi
        # display: vnc            # none, vnc or spice
        # cdrom: /srv/iso/tools.iso
        disks:
          data: {bus: scsi, cache: none}
        ssh_keys: [ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEXAMPLE ada]
        user_data: {packages: [qemu-guest-agent]}

  # VMs to remove from the host, by name: `stopped` (off; everything stays), `undefined` (its definition is deleted;
  # its data stays), `deprovisioned` (with its data). A VM that is only missing under `vms` stays as it is.
  gone:
    old01: deprovisioned

# With Salt 3008, VMs can be Salt targets: salt -C 'T@geats:HOST.web01' cmd.run 'uname -n'. This changes what
# `salt '*'` means, and where `salt 'db*' state.apply` goes: read docs/how-to/resources.md first.
# resources:
#   geats:
#     vms: ['*']                # patterns of their names
