# What botocore, AWS's own client of Python, makes of requests to Amazon Managed Prometheus: signed.json.
#
# python3 -m venv botocore && botocore/bin/pip install botocore==1.44.8 && \
#   botocore/bin/python signed.py > signed.json
#
# The credentials are those of AWS's documentation.
import datetime
import json
import urllib.parse
from unittest import mock

import botocore.auth
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

SIGNED_AT = 1_700_000_000
at = datetime.datetime.fromtimestamp(SIGNED_AT, datetime.timezone.utc)
cases = []
for region, session_token, endpoint, parameters in [
    ("eu-west-1", None, "query", {"query": 'sum(rate(orders{topic=~"a|b"}[1m])) + 0 * 1', "lookback_delta": "120s"}),
    ("us-east-2", "a+session/token=", "query_range", {"query": "~ü/%", "step": "5.000", "start": "1", "end": "2"}),
]:
    key, secret = "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
    url = f"https://aps-workspaces.{region}.amazonaws.com/workspaces/ws-1/api/v1/{endpoint}"
    request = AWSRequest("GET", url, params=parameters)
    signer = SigV4Auth(Credentials(key, secret, session_token), "aps", region)
    # Its clock, stopped.
    with mock.patch.object(botocore.auth, "get_current_datetime", lambda *_, **__: at):
        signer.add_auth(request)
    # As the URL standard writes forms.
    form = urllib.parse.urlencode(parameters).replace("%2A", "*").replace("~", "%7E")
    cases.append({
        "region": region, "key": key, "secret": secret, "session_token": session_token,
        "signed_at": SIGNED_AT, "url": url, "form": form,
        "headers": {name.lower(): value for name, value in request.headers.items()},
    })
print(json.dumps(cases, indent=2))
