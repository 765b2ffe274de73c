"""What is for Salt only: the modules here may import Salt, and no other module of geats may.

Nothing else of this package imports them: Salt's modules do, which are in ``salt/``.
"""
