"""The parts of a ``VMSpec``, under their old name: they are in ``geats_core.vm.spec``."""

from geats_core.vm.spec import *
