"""Shipped configurations: one TOML file for each published or shipped setting."""
