"""Fitted models as named arrays of a file, and back."""
