# A reactor: the name server dns1 learns each address that is claimed for a VM.
{% for key in data['keys'] if key.startswith('address-') %}
{{ data['name'] }} {{ key }}:
  local.cmd.run:
    - tgt: dns1
    - args:
      - cmd: nsupdate -l
      - stdin: |
          update add {{ data['name'] }}.example.com. 300 {{ 'AAAA' if ':' in key else 'A' }} {{ key[8:] }}
          send
{% endfor %}
