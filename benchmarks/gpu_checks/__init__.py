"""The checks of `gpu_check.py`, one idea in each file."""
