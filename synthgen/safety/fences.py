"""Make the markers that delimit an untrusted text in a prompt."""

from synthgen.records import content_id


def fence(text: str, salt: int) -> str:
    """Return a marker to put around an untrusted text in a prompt. The author of the text cannot have guessed it."""
    return content_id([salt, text])[:8]
