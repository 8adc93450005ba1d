"""The official SDK for Python on a backend: a client secret. GATEWAY is JSON, what the gateway should know of it.

It reads OPENAI_API_KEY and OPENAI_BASE_URL.
"""

import json
import os

from openai import OpenAI

secret = OpenAI().realtime.client_secrets.create(
    expires_after={"anchor": "created_at", "seconds": 300},
    session={"type": "realtime", "model": "gpt-realtime"},
    extra_body={"gateway": json.loads(os.environ["GATEWAY"])},
)
print(json.dumps({
    "value": secret.value,
    "expires_at": secret.expires_at,
    "session_type": type(secret.session).__name__,
    "model": secret.session.model,
}))
