"""Version checks, safe loading of checkpoints, and error handling of command line tools."""
