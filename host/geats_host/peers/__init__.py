"""Other hosts: what is asked of them, and volumes on the way from there to here."""
