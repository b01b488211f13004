"""hloc's names of pairs: which images they are of, and which collide."""

from __future__ import annotations

from xfeat_cli.store.names import colliding_names, colliding_pairs, resolve


def test_entries_are_traced_to_their_images() -> None:
    resolved = resolve(["a-1.jpg/b", "b/a-1.jpg", "b/c", "x-y/b"], ["a/1.jpg", "b", "x/y", "x-y"])
    assert resolved.pairs == {"a-1.jpg/b": ("a/1.jpg", "b")}
    assert resolved.unknown == ["b/c"]
    assert "'x/y' or 'x-y'" in resolved.ambiguous["x-y/b"]


def test_names_that_collide() -> None:
    assert colliding_names(["a/b", "c", "a-b", "a/c", "d/e/f", "d-e/f", "d/e-f"]) == [
        ["a/b", "a-b"],
        ["d/e/f", "d-e/f", "d/e-f"],
    ]


def test_only_pairs_that_would_share_an_entry_collide() -> None:
    assert colliding_pairs([("a/b", "c"), ("a/b", "d"), ("a-b", "e")]) == {}
    assert colliding_pairs([("a/b", "a-b"), ("a/b", "c")]) == {}
    found = colliding_pairs([("a/b-c.jpg", "d"), ("x", "y"), ("a-b/c.jpg", "d")])
    assert list(found) == [("a/b-c.jpg", "d"), ("a-b/c.jpg", "d")]
    assert "a/b-c.jpg d and a-b/c.jpg d would be one entry" in found["a/b-c.jpg", "d"]
    assert colliding_pairs([("a/b", "c"), ("c", "a-b"), ("c", "c")], ordered=True) == {}
    assert set(colliding_pairs([("a/b", "c"), ("a-b", "c")], ordered=True)) == {("a/b", "c"), ("a-b", "c")}
    assert set(colliding_pairs([("a/b", "c"), ("c", "a-b")])) == {("a/b", "c"), ("c", "a-b")}
    assert len(colliding_pairs([("a/b/c", "a-b/c"), ("a/b/c", "a/b-c"), ("z", "a/b/c")])) == 2
