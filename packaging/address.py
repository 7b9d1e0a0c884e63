"""Writes the public address of the repository into both pyproject.toml: before a first release.

    python packaging/address.py https://forge.example/multilode

Index pages then have links to the project, its documents, changes and issues, and links of their
README lead to files of the repository. Until then they have none, and of such links the words stay.
"""

import argparse
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# folder of each distribution; where its links to files begin in the repository
FOLDERS = {".": "", "papers": "papers/"}
URLS = """[project.urls]
Homepage = "{address}"
Documentation = "{files}/docs/index.md"
Changelog = "{files}/CHANGELOG.md"
Issues = "{address}/issues"

"""
SUBSTITUTIONS = """substitutions = [
    # an index page has no files of the repository
    {{ pattern = '(!{words})\\({path}\\)', replacement = '\\1({pictures}/{start}\\2)' }},
    {{ pattern = '({words})\\({path}\\)', replacement = '\\1({files}/{start}\\2)' }},
]
"""
PATTERNS = {"words": r"\[[^\[\]]*\]", "path": r"(?!\w+:|#)([^)]*)"}
OWN_URLS = re.compile(r"\[project\.urls\]\n(?:[^\[\n].*\n)*\n*")
OWN_SUBSTITUTIONS = re.compile(r"substitutions = \[(?:\n(?:    .*\n)*\]\n|.+\]\n?)")


def with_address(text: str, address: str, files: str, pictures: str, start: str) -> str:
    """A pyproject.toml with an address, in place of one that it may have.

    Args:
        text: of the file.
        address: of the repository.
        files: address that paths of files follow.
        pictures: address that paths of pictures follow.
        start: of the folder of the distribution in the repository.

    Raises:
        ValueError: if the file has no place for it.
    """
    named = {"address": address, "files": files, "pictures": pictures, "start": start}
    named |= PATTERNS
    text = OWN_URLS.sub("", text)
    text, n_scripts = re.subn(
        r"(?=^\[tool\.hatch\.build\.targets\.wheel\])",
        lambda _: URLS.format(**named),
        text,
        count=1,
        flags=re.MULTILINE,
    )
    text, n_links = OWN_SUBSTITUTIONS.subn(lambda _: SUBSTITUTIONS.format(**named), text)
    if not n_scripts or not n_links:
        raise ValueError("this pyproject.toml has no place for an address; look at packaging/")
    return text


def main() -> None:
    """Write it into both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "address", help="of the repository, such as https://forge.example/multilode"
    )
    parser.add_argument("--files", help="where its files are shown; ADDRESS/blob/main")
    parser.add_argument("--pictures", help="where they are as they are; ADDRESS/raw/main")
    given = parser.parse_args()
    address = given.address.rstrip("/")
    files = given.files or f"{address}/blob/main"
    pictures = given.pictures or f"{address}/raw/main"
    for folder, start in FOLDERS.items():
        path = ROOT / folder / "pyproject.toml"
        path.write_text(with_address(path.read_text(), address, files, pictures, start))


if __name__ == "__main__":
    main()
