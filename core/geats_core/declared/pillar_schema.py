"""The JSON Schema of a pillar, out of the parsers that read it: for editors that complete it."""

from geats_core.declared.config import DEEPEST_STACK, config_schema, layers
from geats_core.reading.schemas import Schema
from geats_core.vm.parse import vm_schema


def pillar_schema() -> Schema:
    """The JSON Schema of what a pillar, or ``geats.yaml``, may have under ``geats``.

    It allows everything that the parsers accept. They refuse more: what breaks a rule between
    several keys, names that do not exist, and options that the plugin does not know.
    """
    vm = vm_schema()
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "geats",
        "type": "object",
        "properties": {"geats": config_schema()},
        "definitions": {
            "vm": vm,
            "profile": vm,
            "layer": layers(DEEPEST_STACK).schema(),
        },
    }
