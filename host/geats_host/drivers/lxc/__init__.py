"""The driver ``lxc``: containers, by liblxc."""
