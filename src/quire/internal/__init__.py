"""The routes that runners and kernels call; no vendor's client ever does."""
