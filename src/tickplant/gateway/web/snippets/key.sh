# Where the plant asks for a key: in a header, never in the address.
curl -sS http://127.0.0.1:8000/v1/status -H "Authorization: Bearer $TICKPLANT_KEY"
