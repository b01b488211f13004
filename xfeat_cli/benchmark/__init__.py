"""How fast the default path is beside the authors' code, and beside what the machine can do."""
