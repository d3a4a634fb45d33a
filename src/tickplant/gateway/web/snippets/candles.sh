# The bars of a day, as CSV.
curl -sS -H 'Accept: text/csv' \
  'http://127.0.0.1:8000/v1/candles/EURUSD?interval=1m&start=2014-05-07T00:00:00Z&end=2014-05-08T00:00:00Z'
