"""Fetch an archive of the model repository, check its digest, unpack it.

Usage: python fetch_models.py URL SHA256 FOLDER. Nothing is unpacked before the digest is right.
"""

import hashlib
import sys
import tarfile
import tempfile
import urllib.request
from pathlib import Path

CHUNK = 1 << 20
TIMEOUT_S = 60.0


def fetch(url: str, sha256: str, folder: Path) -> None:
    """Exit with a message when the archive is not the promised one."""
    if not url.startswith(("https://", "http://")):
        sys.exit(f"{url}: only http and https are fetched")
    digest = hashlib.sha256()
    with tempfile.TemporaryFile(dir=folder) as archive:
        with urllib.request.urlopen(url, timeout=TIMEOUT_S) as answer:  # noqa: S310 — checked above
            while chunk := answer.read(CHUNK):
                digest.update(chunk)
                archive.write(chunk)
        if digest.hexdigest() != sha256.lower():
            sys.exit(f"{url}: SHA-256 is {digest.hexdigest()}, promised was {sha256}")
        archive.seek(0)
        # The "data" filter refuses absolute names, links that lead out, and devices.
        with tarfile.open(fileobj=archive) as tar:
            tar.extractall(folder, filter="data")
    models = sorted(path.parent.name for path in folder.glob("*/config.pbtxt"))
    if not models:
        sys.exit(f"{url}: no NAME/config.pbtxt at its top level")
    print(f"{len(models)} models: {', '.join(models)}")


if __name__ == "__main__":
    fetch(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
