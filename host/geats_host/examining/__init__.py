"""What a host has, looked at and tried; nothing that is there is changed."""
