"""The commands that fewgan brings beside those of its own command line, each a plugin like any other."""
