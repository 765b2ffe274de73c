"""Files that other programs wrote: containers of LXC, images of LXD, disks."""
