"""A laptop world that agrees with what is published about traces; the one to come (see choices)."""
