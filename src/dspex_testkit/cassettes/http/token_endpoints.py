"""Requests that hand out credentials: OAuth, security token services, and the metadata of cloud machines.

What they send and get is secret from end to end, in forms that no list of fields keeps up with. So they are never
recorded at the HTTP level.
"""

import json
import re
from urllib.parse import parse_qsl, urlsplit

_HOSTS = re.compile(
    r"169\.254\.169\.254|169\.254\.170\.\d+|fd00:ec2::254|metadata\.(?:google\.internal|goog|azure\.com)|metadata"
    r"|sts(?:\.[\w-]+)*\.amazonaws\.com(?:\.cn)?|sts\.googleapis\.com|sts\.windows\.net|oauth2\.googleapis\.com"
    r"|iamcredentials\.googleapis\.com|cognito-identity(?:\.[\w-]+)*\.amazonaws\.com|oidc(?:\.[\w-]+)*\.amazonaws\.com"
    r"|portal\.sso(?:\.[\w-]+)*\.amazonaws\.com"
)
_PATHS = re.compile(
    r"/(?:oauth2?|oidc|connect|identity|auth|sts|protocol/openid-connect|oauth2/v\d[\w.]*|login/oauth|authentication)"
    r"/(?:token|access_token|introspect|revoke|device/code|devicecode|tokens)/?$"
    r"|/(?:token|access_token)/?$|:generate(?:Access|Id)Token$|/latest/(?:meta-data|dynamic|api/token|user-data)(?:/|$)"
    r"|/computeMetadata/|/federation/credentials$"
)
_ACTIONS = re.compile(r"AssumeRole\w*|Get(?:Session|Federation)Token|GetCallerIdentity|GetCredentialsForIdentity")


def hands_out_tokens(uri: str, body: object = None) -> bool:
    """Whether a request asks for credentials, by its address or by what it sends."""
    parts = urlsplit(uri)
    if _HOSTS.fullmatch(parts.hostname or "") or _PATHS.search(parts.path):
        return True
    sent = dict(parse_qsl(parts.query)) | _fields(body)
    return "grant_type" in sent or bool(_ACTIONS.fullmatch(str(sent.get("Action", ""))))


def _fields(body: object) -> dict[str, object]:
    """The fields of a form or a JSON object; none where the body is neither, or too long to be either."""
    text = body.decode("utf-8", "replace") if isinstance(body, bytes) else body
    if not isinstance(text, str) or len(text) > 65_536 or not ("grant_type" in text or "Action" in text):
        return {}
    try:
        found = json.loads(text)
    except ValueError:
        return dict(parse_qsl(text))
    return found if isinstance(found, dict) else {}
