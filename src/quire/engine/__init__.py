"""What a run is and what may happen to it; knows no vendor and no HTTP."""
