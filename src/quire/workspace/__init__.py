"""The tree of folders, notebooks and files, and the formats they come and go in."""
