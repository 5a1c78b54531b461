"""Version checks and checkpoint reading."""
