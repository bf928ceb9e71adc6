"""An issuer of SciTokens for one pool: its keys lie in the pool's cache of keys, as if they had been fetched.

Sources: HTCondor manual, "SciTokens Authentication" and condor_test_token(1); scitokens-cpp, "keycache".
"""

from __future__ import annotations

import json
import shutil
import sqlite3
import time
import uuid
from collections.abc import Mapping
from pathlib import Path

import jwt
from cryptography.hazmat.primitives.asymmetric import ec

from tests.servers.certificates import Authority

URL = "https://issuer.test"
AUDIENCE = "pool.test"
DAY_S = 86400
KEY_ID = "1"
SCITOKEN: Mapping[str, object] = {"ver": "scitokens:2.0", "scope": "condor:/READ condor:/WRITE"}
WLCG: Mapping[str, object] = {
    "wlcg.ver": "1.0", "scope": "compute.read compute.create compute.modify compute.cancel",
}  # fmt: skip


class Issuer:
    """Its tokens for ``subject`` are those of ``identity`` at the pool whose folder is ``local``."""

    def __init__(self, directory: Path, local: Path, host: str, subject: str, identity: str) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._local, self._subject = local, subject
        authority = Authority(directory, "pool")
        self.ca_file = authority.ca_file
        self._certificate, self._private = (
            Path(shutil.move(path, local / path.name)) for path in authority.serving("host", host)
        )
        self._map = local / "mapfile"
        self._map.write_text(f"SCITOKENS {URL},{subject} {identity}\n")
        self._fill(local / "cache" / "scitokens")

    @property
    def settings(self) -> Mapping[str, object]:
        """What the pool's configuration says of it."""
        return {
            "CERTIFICATE_MAPFILE": self._map,
            "SCITOKENS_SERVER_AUDIENCE": AUDIENCE,
            "SEC_SCITOKENS_CACHE": self._local / "cache",
            "AUTH_SSL_SERVER_CERTFILE": self._certificate,
            "AUTH_SSL_SERVER_KEYFILE": self._private,
            "AUTH_SSL_SERVER_CAFILE": self.ca_file,
        }

    def token(self, profile: Mapping[str, object] = SCITOKEN, **claims: object) -> str:
        """A token that is good for ten minutes, but for what the claims say."""
        now_s = int(time.time())
        told = {"iss": URL, "sub": self._subject, "aud": AUDIENCE, "iat": now_s, "nbf": now_s, "exp": now_s + 600}
        payload = {**told, "jti": uuid.uuid4().hex, **profile, **claims}
        return jwt.encode(payload, self._key, "ES256", headers={"kid": KEY_ID})

    def _fill(self, cache: Path) -> None:
        cache.mkdir(parents=True)
        public = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(self._key.public_key()))
        keys = {"keys": [{**public, "kid": KEY_ID, "use": "sig", "alg": "ES256"}]}
        now_s = int(time.time())
        kept = {"jwks": keys, "next_update": now_s + DAY_S, "expires": now_s + 2 * DAY_S}
        database = sqlite3.connect(cache / "scitokens_cpp.sqllite")
        with database:
            database.execute("CREATE TABLE keycache (issuer text UNIQUE PRIMARY KEY NOT NULL, keys text NOT NULL)")
            database.execute("INSERT INTO keycache VALUES (?, ?)", (URL, json.dumps(kept)))
        database.close()
