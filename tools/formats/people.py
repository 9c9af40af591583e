"""People in files: the user name that people read and the number by which the forge knows them.

Only the number decides: a user name can be given up and taken by somebody else.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated

from pydantic import Field

from tools.formats.base import Login, Strict


class Person(Strict):
    """One user of GitLab."""

    username: Annotated[Login, Field(description="GitLab user name, for people to read")]
    id: Annotated[
        int,
        Field(
            ge=1,
            description="the user's numeric GitLab id: the profile's menu copies it, /api/v4/users?username= has it",
        ),
    ]


def usernames(people: Sequence[Person]) -> list[str]:
    """The names, in the file's order."""
    return [person.username for person in people]


def repeated(people: Sequence[Person]) -> Iterator[tuple[int, str]]:
    """Index and words of each entry that names somebody who is listed already; GitLab's user names ignore case."""
    by_id: dict[int, Person] = {}
    by_name: dict[str, Person] = {}
    for index, person in enumerate(people):
        name = person.username.lower()
        if (first := by_id.get(person.id)) is not None:
            same = first.username.lower() == name
            yield index, f"{person.username} a second time" if same else f"id {person.id} is {first.username}'s already"
        elif (first := by_name.get(name)) is not None:
            yield index, f"{person.username} a second time, with id {person.id} after {first.id}"
        by_id.setdefault(person.id, person)
        by_name.setdefault(name, person)
