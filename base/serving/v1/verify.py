"""Whether a published folder is the approved one: python3 verify.py FOLDER SHA256-OF-PUBLICATION. Standard library only."""

import hashlib
import json
import sys
from pathlib import Path


def sha256(file: Path) -> str:
    """Of a file's bytes, read once."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def fault(folder: Path, wanted: str) -> str:
    """Why the folder must not be served; empty when it may be."""
    record = folder / "publication.json"
    if not record.is_file():
        return f"{record} is missing"
    if sha256(record) != wanted:
        return f"{record} has the hash {sha256(record)}, approved is {wanted}"
    listed = json.loads(record.read_bytes())["files"]
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()} - {record.name}
    if there != set(listed):
        return f"{folder} lacks or adds {', '.join(sorted(there ^ set(listed)))}"
    linked = [name for name in listed if (folder / name).is_symlink()]
    wrong = linked or [name for name in listed if sha256(folder / name) != listed[name]["sha256"]]
    return f"{folder / wrong[0]} is not the file that was published" if wrong else ""


if __name__ == "__main__":
    found = fault(Path(sys.argv[1]), sys.argv[2])
    print(found or "every file is as approved")
    sys.exit(1 if found else 0)
