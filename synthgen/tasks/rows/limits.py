"""Limit the size of input files: far above the needs of seeds, far below the capacity of a machine."""

ROW_BYTES = 1_000_000
"""Most bytes of one JSON Lines line, one element of a JSON array, one record of a CSV file, or one row of a table."""
FILE_BYTES = 1_000_000_000
"""Most bytes of one file, decompressed."""
FILE_ROWS = 5_000_000
"""Most lines of one text file, including blank ones, or rows of one table."""
EXPANSION = 200
"""Most decompressed bytes per byte of a .gz file. Text reaches 5 to 50, a gzip bomb 1,000."""
EXPANSION_FROM = 10_000_000
"""Decompressed bytes below which `EXPANSION` is not checked, because a small file may be repetitive."""
DEPTH = 100
"""Most levels of nested arrays and objects."""
PROBLEMS = 20
"""Most different mistakes that are reported before reading stops."""
REPEATS = 1_000
"""Most wrong rows that are read before reading stops."""
