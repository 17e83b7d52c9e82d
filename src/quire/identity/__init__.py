"""Who may do what: principals, tokens, and rights to what the workspace holds."""
