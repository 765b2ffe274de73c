geats:
  # Where volumes come from. Without this, pool `default` is a directory in the state directory.
  pools:
    default:
      type: directory
      path: /srv/geats/volumes

  # Directories of the host that VMs may bind, with all that is below them.
  bind_sources: [/srv/media]

  # What a VM's root volume is filled from.
  templates:
    debian:
      path: /srv/geats/templates/debian-12.tar.zst
      # sha256: the tarball is verified before anything changes
      # overlay: /srv/geats/templates/our-settings.tar.gz

  # Named defaults; a VM's own keys win.
  profiles:
    small:
      template: debian
      memory: 256MiB
      cpus: 1
      processes: 512

  vms:
    web01:
      profile: small
      memory: 512MiB
      volumes:
        - name: root
        - name: data
          mount: /srv/data
          shared: true  # other VMs may mount it too
      binds:
        films: {source: /srv/media/films, mount: /srv/films}
      nics:
        - name: eth0
          bridge: br0
          addresses: [10.0.3.11/24, 'fd00:3::11/64']
          gateways: [10.0.3.1]
      dns:
        nameservers: [10.0.3.1]
        search: [example.org]
      metadata:
        ROLE: web server

    db01:
      profile: small
      memory: 2GiB
      cpus: 2
      shutdown_timeout: 120
      shared_volumes:
        web: {vm: web01, volume: data, mount: /srv/web}  # read-only unless told
      nics:
        - name: eth0
          bridge: br0
          addresses: [10.0.3.12/24]
          gateways: [10.0.3.1]
