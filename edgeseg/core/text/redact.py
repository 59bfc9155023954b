"""Takes secrets out of what is shown or kept: messages, logs, reports, pages and run folders.

`public_uri` is for one URI, `redact` for a text that may hold some. Both are the only places that
know what a secret looks like. What cannot be told by its look is told by having been given:
`remember` notes the secrets of a URI that is opened, and `redact` takes them out wherever they turn
up, in a library's words too.
"""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Sequence

HIDDEN = "***"
# A shorter one would be found in everything.
LEAST = 4
LEAST_PART = 6
# Names of secrets and of user names; as parts of a query, of a path or of a pipeline.
_SECRET = (
    r"(?:[\w-]*(?:token|passw|secret|sig|auth|cred|jwt|session)[\w-]*|[\w-]*key"
    r"|user(?:_?name|_?id)?|usr|login\w*|pwd|pass|pas|psw|pw|pin)"
)
_SECRET_KEY = re.compile(rf"(?i){_SECRET}")
# Of a query only what these name is shown, or a number of at most two digits.
_HARMLESS = frozenset(
    [
        "action",
        "bufsize",
        "camera",
        "channel",
        "codec",
        "echo",
        "flip",
        "format",
        "fourcc",
        "fps",
        "frames",
        "height",
        "isolation_level",
        "mode",
        "poll",
        "profile",
        "quality",
        "rate",
        "resolution",
        "rotate",
        "rtsp_transport",
        "seed",
        "size",
        "stream",
        "subtype",
        "threads",
        "timeout",
        "transport",
        "type",
        "unicast",
        "user-agent",
        "weather",
        "width",
    ]
)
# Host names, IPv4 and IPv6 addresses, with or without a port.
_HOST = r"(?:\[[0-9A-Fa-f:.%]+\]|[\w.-]+)(?::\d+)?"
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*:/{1,2})(.*)", re.DOTALL)
# user:password@host of a word without a scheme.
_BARE = re.compile(rf"([^\s/@:'\"=]+):([^\s'\"]*)@(?={_HOST})")
# Properties of GStreamer's rtspsrc and souphttpsrc.
_PIPELINE = re.compile(
    r"(?i)\b((?:(?:proxy-|user-)+id|(?:proxy-|user-)*pw)\s*=\s*)(\"[^\"]*\"|'[^']*'|[^\s!]+)"
)
# As cheap cameras have it, in the path: /user=admin_password=x_channel=1_stream=0.sdp
_IN_PATH = re.compile(rf"(?i)([/_]{_SECRET}=)(?:(?!_[^\W_]+=)[^&\s;'\"])*")
# A part of a path that nobody would choose as a name: the key of a stream.
_KEY = re.compile(r"(?<=/)(?=[^/]*\d)(?=[^/]*[a-z])(?=[^/]*[A-Z])[A-Za-z0-9_-]{16,}(?=[/?#]|$)")
_QUERY = re.compile(r"([?&;])([^=&;\s'\"]+)=([^&;\s'\"]*)")
# In a text a URI ends at a blank or a quote.
_IN_TEXT = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:/{1,2}[^\s'\"<>]+")

_REMEMBERED: set[str] = set()


def public_uri(uri: str) -> str:
    """Return a URI, a path or a pipeline without user name, password, token and stream key."""
    match = _SCHEME.fullmatch(uri)
    if match is not None and match[1].lower() != "gst://":
        _, host = split_credentials(match[2])
        uri = match[1] + _IN_PATH.sub(rf"\1{HIDDEN}", host)
        if match[1].lower() not in ("folder://", "video://"):
            uri = _KEY.sub(HIDDEN, uri)
        uri = _QUERY.sub(_shown, uri)
    else:
        uri = redact(uri)
    return _without_remembered(uri)


def redact(text: str) -> str:
    """Return a text without the secrets of the URIs in it, nor any that was remembered."""
    text = _without_remembered(text)
    text = _PIPELINE.sub(rf"\1{HIDDEN}", text)
    text = _IN_TEXT.sub(lambda found: _public_word(found[0]), text)
    text = _BARE.sub("", text)
    text = _IN_PATH.sub(rf"\1{HIDDEN}", text)
    return _QUERY.sub(_shown_secret, text)


def remember(uri: str) -> None:
    """Take the secrets of this URI out of every later text, in whatever words they stand."""
    match = _SCHEME.search(uri)
    rest = match[2] if match else uri
    credentials, host = split_credentials(rest)
    found = {credentials, credentials.partition(":")[2]}
    for key, value in urllib.parse.parse_qsl(host.partition("?")[2]):
        # A word alone would be found in too much: only what is named, or looks made up.
        made_up = re.search(r"\d", value) and re.search(r"[A-Za-z]", value) and len(value) > LEAST
        if _SECRET_KEY.fullmatch(key) or (made_up and not _is_harmless(key, value)):
            found.add(value)
    found |= {value.strip("\"'") for _, value in _PIPELINE.findall(uri)}
    for secret in found:
        forms = {secret, urllib.parse.quote(secret, safe=""), urllib.parse.unquote(secret)}
        # FFmpeg cuts a password at what it takes for the end of the host.
        parts = {part for form in forms for part in re.split(r"[@/?#]", form)}
        _REMEMBERED.update(form for form in forms if len(form) >= LEAST)
        _REMEMBERED.update(part for part in parts if len(part) >= LEAST_PART)


def public_words(words: Sequence[str]) -> list[str]:
    """Return the words of a command without secrets, as a record or a title may show them."""
    shown, hide = [], False
    for word in words:
        option, sign, _ = word.partition("=")
        secret = option.startswith("--") and _SECRET_KEY.fullmatch(option[2:]) is not None
        if hide:
            shown.append(HIDDEN)
        else:
            shown.append(f"{option}={HIDDEN}" if secret and sign else public_uri(word))
        hide = secret and not sign
    return shown


def split_credentials(rest: str) -> tuple[str, str]:
    """Split what follows `scheme://` at the last @ before a host: `user:password`, and the rest.

    A password may hold @, / and # though it should not. An @ behind the host, as in
    `cam.local:554/a@b`, belongs to the path.

    Returns:
        The credentials, "" where there are none, and host, path and query.
    """
    before, sign, _ = rest.partition("?")
    if sign and "@" in rest and "@" not in before:
        # A question mark within the password: only where what follows the @ is a host.
        before = rest
    likely: tuple[str, str] | None = None
    while "@" in before:
        before = before.rpartition("@")[0]
        after = rest[len(before) + 1 :]
        host = _host_of(after)
        # Before a slash a user's name alone will do, behind one there must be a password.
        if _looks_like_host(host) and ("/" not in before or ":" in before):
            return before, after
        if host and likely is None and _is_likely(before):
            likely = before, after
    return likely or ("", rest)


def encode_credentials(uri: str) -> str:
    """Return the URI with user name and password percent-encoded, as libraries expect them.

    What is encoded already stays. A URI without credentials is returned as it is.
    """
    match = _SCHEME.fullmatch(uri)
    if match is None:
        return uri
    credentials, host = split_credentials(match[2])
    if not credentials:
        return uri
    user, sign, password = credentials.partition(":")
    return f"{match[1]}{_encoded(user)}{sign}{_encoded(password)}@{host}"


def _encoded(text: str) -> str:
    return urllib.parse.quote(re.sub(r"%(?![0-9A-Fa-f]{2})", "%25", text), safe="%!$&'()*+,;=-._~")


def _host_of(after: str) -> str:
    match = re.match(rf"({_HOST})(?=[/?#]|$)", after)
    return match[1] if match else ""


def _looks_like_host(host: str) -> bool:
    return "." in host or ":" in host or host == "localhost"


def _is_likely(before: str) -> bool:
    """Tell whether this can stand before a host of one word, such as `cam`."""
    authority, _, _ = re.split(r"([/?#])", f"{before}/", maxsplit=1)
    if len(authority) == len(before):
        # Within what a parser takes for user and host.
        return True
    # user:12/34@cam is a password, cam.local:554/a@b and localhost:554/a@b are paths.
    user, colon, port = authority.partition(":")
    return bool(colon) and (not port.isdigit() or not _looks_like_host(user))


def _public_word(uri: str) -> str:
    # A pipeline's own URIs are found one by one.
    return uri if uri.lower().startswith("gst:") else public_uri(uri)


def _is_harmless(key: str, value: str) -> bool:
    name = urllib.parse.unquote(key).lower()
    if _SECRET_KEY.fullmatch(name) and name not in _HARMLESS:
        return False
    return name in _HARMLESS or re.fullmatch(r"\d{0,2}", value) is not None


def _shown(found: re.Match[str]) -> str:
    sign, key, value = found.groups()
    return f"{sign}{key}={value if _is_harmless(key, value) else HIDDEN}"


def _shown_secret(found: re.Match[str]) -> str:
    # In running text other things have this shape too; only what is named a secret goes.
    sign, key, value = found.groups()
    secret = _SECRET_KEY.fullmatch(urllib.parse.unquote(key))
    return f"{sign}{key}={HIDDEN if secret else value}"


def _without_remembered(text: str) -> str:
    # The longest first: others are parts of it.
    for secret in sorted(_REMEMBERED, key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    return text
