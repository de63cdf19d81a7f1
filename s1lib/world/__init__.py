"""A laptop world that agrees with what is published about traces."""
