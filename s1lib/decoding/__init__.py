"""Budget forcing: the state machine, the record, and the backends that run it."""

from s1lib.decoding.decoder import give_back
from s1lib.decoding.forcing import Forcing
from s1lib.decoding.hooks import Hooks
from s1lib.decoding.load import load_decoder
from s1lib.decoding.record import Generation, read_record, write_record
from s1lib.decoding.sampling import Sampling
from s1lib.decoding.sweep import cells

__all__ = [
    "Forcing",
    "Generation",
    "Hooks",
    "Sampling",
    "cells",
    "give_back",
    "load_decoder",
    "read_record",
    "write_record",
]
