"""Floor 0: files, journals, types, version checks and safe loading of checkpoints."""
