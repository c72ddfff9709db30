"""Streams of rows, step after step: generated from known sources, or read from files."""

from neurolp.data.streams.generating import GENERATORS, generator, settings_of
from neurolp.data.streams.opening import open_stream
from neurolp.data.streams.source import Stream

__all__ = ["GENERATORS", "Stream", "generator", "open_stream", "settings_of"]
