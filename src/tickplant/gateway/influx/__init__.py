"""The doors of InfluxDB, for collectors that speak its line protocol."""
