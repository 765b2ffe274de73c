"""What the kernel has of containers: cgroups, interfaces, addresses, AppArmor; without liblxc."""
