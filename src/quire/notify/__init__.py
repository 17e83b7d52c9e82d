"""Telling people about runs: who is told, in which words, and getting it to them."""
