"""How much of an input file is read. Far above what seeds need, far below what hurts a machine."""

ROW_BYTES = 1_000_000
"""One line of JSON Lines, one element of a JSON array, one record of a CSV file, one row of a table."""
FILE_BYTES = 1_000_000_000
"""One file, decompressed."""
FILE_ROWS = 5_000_000
"""Lines of one text file, blank ones too, or rows of one table."""
EXPANSION = 200
"""Bytes that one byte of a .gz file may become; text reaches 5 to 50, a gzip bomb 1,000."""
EXPANSION_FROM = 10_000_000
"""Decompressed bytes below which `EXPANSION` is not looked at: a small file may repeat itself."""
DEPTH = 100
"""Arrays and objects inside each other."""
PROBLEMS = 20
"""Problems that are named before the reading ends."""
