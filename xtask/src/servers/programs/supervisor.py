"""Starts the program in its arguments as Python's subprocess does by default: without the descriptors that it has inherited."""

import subprocess
import sys

sys.exit(subprocess.call(sys.argv[1:]))
