"""The documentation: its programs and commands run, its reference is whole."""
