"""Formats of the field, written and read: NWB, SONATA."""
