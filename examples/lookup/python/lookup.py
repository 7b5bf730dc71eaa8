"""Print what Redis holds for the entities given: python lookup.py u42 u43"""
import json
import os
import sys
from datetime import datetime, timedelta, timezone

import redis

client = redis.Redis.from_url(os.environ.get("REDIS_URL", "redis://localhost:6379/0"))
model = os.environ.get("MODEL", "buyer-intent")
limit = timedelta(hours=1)

for entity in sys.argv[1:]:
    value = client.get(f"pred:{model}:{entity}")
    p = json.loads(value) if value else None
    if p is None:
        print(entity, "missing")
    elif p.get("deleted"):
        print(entity, "deleted")
    else:
        event = datetime.strptime(p["event_time"], "%Y-%m-%dT%H:%M:%S.%f%z")
        state = "fresh" if datetime.now(timezone.utc) - event < limit else "stale"
        print(entity, state, p["score"], p.get("label", "-"))
