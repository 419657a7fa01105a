"""Names are stored as hashes that mean nothing without the key."""

from ft_assets.storage.pseudonyms import Pseudonyms


def test_a_name_has_one_hash_a_key() -> None:
    ours, theirs = Pseudonyms(b"a" * 32), Pseudonyms(b"b" * 32)
    assert ours.of("Ann") == ours.of("Ann") != ours.of("Bob")
    assert ours.of("Ann") != theirs.of("Ann")
    assert len(ours.of("\ud83d") or "") == 64


def test_nobody_has_none() -> None:
    assert Pseudonyms(b"a" * 32).of(None) is Pseudonyms(b"a" * 32).of("") is None
