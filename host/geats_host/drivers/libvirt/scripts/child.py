"""Runs ``libvirt_calls`` in whichever Python has a binding: ``python -I -S child.py PACKAGES``.

Python compiles a script each time that it is run, and a module only once.
"""

import os
import sys
from importlib import import_module

sys.path += [*sys.argv[1:2], os.path.dirname(os.path.abspath(__file__))]

if __name__ == "__main__":
    sys.exit(import_module("libvirt_calls").main())
