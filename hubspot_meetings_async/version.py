"""The version, where every room can read it and the build too. It knows nothing else."""

__version__ = "0.1.0"
