"""Show a key."""

import os

from tickplant.client import Client

with Client("http://127.0.0.1:8000", key=os.environ["TICKPLANT_KEY"]) as plant:
    print(plant.status()["state"])
