"""The store: blocks in memory and the Parquet archive, queried as one."""
