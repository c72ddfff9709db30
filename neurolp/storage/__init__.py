"""HDF5 files: the store of a run, the reader, locks, checksums. Knows arrays, never models."""
