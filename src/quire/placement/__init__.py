"""Where runners live: on this machine, or elsewhere."""
