# What botocore, AWS's own client of Python, makes of the same requests: presigned.json.
#
# python3 -m venv botocore && botocore/bin/pip install botocore==1.44.8 && \
#   botocore/bin/python presigned.py > presigned.json
#
# The credentials are those of AWS's documentation.
import datetime
import json
from unittest import mock

import botocore.auth
from botocore.auth import SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

SIGNED_AT = 1_700_000_000
at = datetime.datetime.fromtimestamp(SIGNED_AT, datetime.timezone.utc)
cases = []
for region, session_token in [("eu-west-1", None), ("us-east-2", "a+session/token=")]:
    key, secret = "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
    url = f"https://kafka.{region}.amazonaws.com/?Action=kafka-cluster%3AConnect"
    request = AWSRequest("GET", url)
    signer = SigV4QueryAuth(
        Credentials(key, secret, session_token), "kafka-cluster", region, expires=900
    )
    # Its clock, stopped.
    with mock.patch.object(botocore.auth, "get_current_datetime", lambda *_, **__: at):
        signer.add_auth(request)
    cases.append({
        "region": region, "key": key, "secret": secret, "session_token": session_token,
        "signed_at": SIGNED_AT, "url": request.url,
    })
print(json.dumps(cases, indent=2))
