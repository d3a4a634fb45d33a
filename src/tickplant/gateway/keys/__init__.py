"""Who may ask for what, and how often: keys, tokens, scopes and limits before every route."""
