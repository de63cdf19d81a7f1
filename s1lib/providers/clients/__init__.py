"""The providers: a module each, which profiles know by its name, with a class `Client`."""
