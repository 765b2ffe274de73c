"""The actions, under their old name: they are in ``geats_core.planning.actions``."""

from geats_core.planning.actions import *
