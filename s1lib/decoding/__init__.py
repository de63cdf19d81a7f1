"""Budget forcing: the state machine, the record, and the backends that run it."""
