"""Why an archived file is not believed, or an archive cannot go on."""

from node.primitives.errors import ChainError, PhoenixError


class BadFile(ChainError):
    """A file holds something other than it must: altered, torn, or of another chain."""


class ArchiveFailed(PhoenixError):
    """A store, or the chain that is to anchor a file, refused; trying again may help."""
