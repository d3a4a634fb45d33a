"""Read-only SQL over what a plant stored: `query(history, text)`.

guard     one statement, and only one that reads
tables    trades, quotes, instruments, quarantine: the archive's Parquet files and the rows in
          memory, as views
candles   candles_1m: our own candle code behind a table that is made when it is read (`scan`)
gaps      gaps: the gap ledger, read when a query asks for it
session   a connection that can read these and nothing else, and the query itself
"""

from tickplant.sql.session import TABLES, query

__all__ = ["TABLES", "query"]
