"""Calls that cost money: one mechanism (`calls`), three clients, one price list."""
