"""Rivals of budget forcing: conditional control, rejection sampling, votes and tree search."""
