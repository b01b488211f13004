"""Which images of a collection are turned against one another, by quarters."""

from __future__ import annotations

from collections.abc import Container


class Turns:
    """Groups of images that are known to be turned against one another by so many quarters clockwise.

    Images are numbers from 0 on. At first each is a group of its own.
    """

    def __init__(self, count: int) -> None:
        self._group = list(range(count))
        self._quarters = [0] * count
        self._members = {image: [image] for image in range(count)}

    def joined(self, image0: int, image1: int) -> bool:
        """Return whether two images are of one group."""
        return self._group[image0] == self._group[image1]

    def join(self, image0: int, image1: int, quarters: int) -> None:
        """Image 1, turned by `quarters`, stands as image 0 does. Nothing changes within a group."""
        kept, gone = self._group[image0], self._group[image1]
        if kept == gone:
            return
        further = self._quarters[image0] + quarters - self._quarters[image1]
        if len(self._members[kept]) < len(self._members[gone]):
            kept, gone, further = gone, kept, -further
        for image in self._members.pop(gone):
            self._group[image] = kept
            self._quarters[image] = (self._quarters[image] + further) % 4
            self._members[kept].append(image)

    def groups(self) -> list[list[int]]:
        """Return the groups, the largest first, of equal ones that of the earlier image; the images of each
        ascending.
        """
        return sorted((sorted(members) for members in self._members.values()), key=lambda g: (-len(g), g[0]))

    def quarters(self, settled: Container[int] = ()) -> list[int]:
        """Return by how many quarters each image is to be turned so that all of its group stand alike.

        Within a group as many as possible of the images `settled` stay as they are, then as many images as possible,
        then the first.
        """
        result = self._quarters.copy()
        for members in self._members.values():
            first = min(members)

            def worth(base: int, members: list[int] = members, first: int = first) -> tuple[int, int, bool]:
                stay = [image for image in members if self._quarters[image] == base]
                return sum(image in settled for image in stay), len(stay), first in stay

            base = max(range(4), key=worth)
            for image in members:
                result[image] = (self._quarters[image] - base) % 4
        return result
