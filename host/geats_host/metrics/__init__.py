"""What is counted on a host: VMs, pools, the host itself, steps and calls; for Prometheus."""
