"""Compute: clusters, the processes that are their reality, and what runs are given of them."""
