"""Streams: what the sensors of a brain receive, step by step, generated or read from a file."""

from neurolp.data.streams.generating import GENERATORS, generator, settings_of
from neurolp.data.streams.opening import open_stream
from neurolp.data.streams.source import Stream

__all__ = ["GENERATORS", "Stream", "generator", "open_stream", "settings_of"]
