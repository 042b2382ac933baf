"""Write samples in the formats that trainers, annotation tools and spreadsheets read.

One file a format or family; `kinds` lists them. The run's own dataset as JSON Lines, CSV or Parquet is written by
`synthgen.report`.
"""
