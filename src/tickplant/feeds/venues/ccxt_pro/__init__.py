"""Any exchange of the ccxt library, by its `watch` methods, behind the contract of venues."""
