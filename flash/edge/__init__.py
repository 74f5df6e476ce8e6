"""Modal's edge on this machine: regional proxies in front of containers that are processes."""
