"""Prints what binding.gyp says for an operating system, as JSON: read_gyp.py PYLIB OS

gyp itself reads it (PYLIB is where its modules lie), so that conditions, includes and commands mean here what they mean
to node-gyp. Nothing is generated.
"""

import json
import os
import sys
import tempfile
from types import SimpleNamespace

sys.path.insert(0, sys.argv[1])
import gyp  # noqa: E402  (found in PYLIB)

# What node-gyp's addon.gypi says of every target.
DEFAULTS = {"target_defaults": {"type": "loadable_module", "default_configuration": "Release"}}

with tempfile.TemporaryDirectory() as directory:
    defaults = os.path.join(directory, "defaults.gypi")
    with open(defaults, "w") as file:
        file.write(repr(DEFAULTS))
    _, _, targets, _ = gyp.Load(
        ["binding.gyp"],
        "gypd",
        {"OS": sys.argv[2], "CONFIGURATION_NAME": "Release"},
        [defaults],
        ".",
        {
            "options": SimpleNamespace(generator_output=None, toplevel_dir="."),
            "parallel": False,
            "root_targets": None,
        },
    )

# The settings of the configuration lie beside those of the target.
json.dump([{**target, **target["configurations"]["Release"]} for target in targets.values()], sys.stdout)
