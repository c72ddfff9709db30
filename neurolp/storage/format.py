"""Name and version of the file format, which is described in docs/format.md."""

FORMAT_NAME = "neurolp-trajectory"
# A new version is needed where an older reader would misunderstand a file, not where something is
# added. Each needs golden files, see tests/golden/make_golden.py.
FORMAT_VERSION = 3  # as written
OLDEST_VERSION = 3  # that is read
