"""Files that other programs wrote: containers of LXC, the first geats, images of OCI and LXD."""
