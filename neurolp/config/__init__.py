"""Configuration files: every section, its keys and their ranges; reading TOML."""
