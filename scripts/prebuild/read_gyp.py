"""Prints the targets of binding.gyp for an operating system as JSON: read_gyp.py PYLIB OS

PYLIB is the folder of gyp's Python modules. gyp itself evaluates the file, so conditions, includes and commands have the
same meaning as in a build with node-gyp. This script generates no build files.
"""

import json
import os
import sys
import tempfile
from types import SimpleNamespace

sys.path.insert(0, sys.argv[1])
import gyp  # noqa: E402  (found in PYLIB)

# The settings that node-gyp's addon.gypi adds to every target.
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

# Merge the settings of the Release configuration into each target.
json.dump([{**target, **target["configurations"]["Release"]} for target in targets.values()], sys.stdout)
