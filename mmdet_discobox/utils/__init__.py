"""Helpers of every room: files, journals, paths, types, versions, safe loading of checkpoints."""
