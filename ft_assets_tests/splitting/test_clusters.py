"""Near-duplicate clusters."""

from ft_assets.sources.example import to_table
from ft_assets.splitting.clusters import Cluster
from ft_assets.splitting.clusters import find_clusters as find
from ft_assets.splitting.passages import Passages, read_passages
from ft_assets_tests.splitting.rows import changed, example, unrelated


def passages(*examples) -> Passages:
    return read_passages(to_table(examples))


NOBODY = passages()


def find_clusters(new: Passages, known: Passages, jaccard: float, by_group: bool = False) -> list[Cluster]:
    return find(new, known, known.ids, jaccard, by_group)


def test_unrelated_rows_are_clusters_of_one() -> None:
    clusters = find_clusters(passages(*unrelated(20)), NOBODY, 0.5)
    assert [len(cluster.members) for cluster in clusters] == [1] * 20
    assert not any(cluster.touches for cluster in clusters)


def test_cluster_is_named_by_its_earliest_member_whatever_the_order() -> None:
    question = unrelated(1)[0].prompt
    late, early = example(question, minute=9), example(changed(question, [3]), minute=2)
    for order in ((late, early), (early, late)):
        (cluster,) = find_clusters(passages(*order), NOBODY, 0.5)
        assert cluster.id == early.id
        assert cluster.members == (early.id, late.id)


def test_equal_instants_are_decided_by_id() -> None:
    question = unrelated(1)[0].prompt
    rows = [example(question), example(changed(question, [3]))]
    (cluster,) = find_clusters(passages(*rows), NOBODY, 0.5)
    assert cluster.id == min(row.id for row in rows)


def test_chain_of_copies_is_one_cluster_though_its_ends_differ() -> None:
    first = unrelated(1)[0].prompt
    second = changed(first, range(0, 5))
    third = changed(second, range(12, 17))
    fourth = changed(third, range(22, 27))
    clusters = find_clusters(passages(*map(example, (first, fourth, second, third))), NOBODY, 0.5)
    assert len(clusters) == 1


def test_same_question_with_another_answer_is_one_cluster() -> None:
    rows = passages(
        example("def f(x): return x", "Return x."), example("DEF f(x):  return x", "Echo the argument.")
    )
    assert len(find_clusters(rows, NOBODY, 0.99)) == 1


def test_question_embedded_in_a_longer_one_is_one_cluster() -> None:
    question, wrapping = (row.prompt for row in unrelated(2, words=60))
    longer = f"{wrapping} {question} {wrapping[::-1]}"
    assert len(find_clusters(passages(example(question), example(longer)), NOBODY, 0.9)) == 1


def test_shared_instruction_does_not_join_rows() -> None:
    instruction = "Write the one line docstring of this Python function in our house style today."
    rows = [example(f"{instruction}\n\n{row.prompt}", row.answer) for row in unrelated(40)]
    assert len(find_clusters(passages(*rows), NOBODY, 0.8)) == 40


def test_known_rows_are_named_but_do_not_join_new_clusters() -> None:
    halves = [row.prompt for row in unrelated(2)]
    known = passages(example(" ".join(halves)))
    clusters = find_clusters(passages(*map(example, halves)), known, 0.4)
    assert len(clusters) == 2
    assert [cluster.touches for cluster in clusters] == [tuple(known.ids)] * 2


def test_no_rows_make_no_clusters() -> None:
    assert find_clusters(NOBODY, passages(example("a question")), 0.5) == []


def test_rows_of_one_group_are_one_cluster_only_where_asked() -> None:
    rows = [row.model_copy(update={"group": group}) for row, group in zip(unrelated(5), "aabb-", strict=True)]
    rows[4] = rows[4].model_copy(update={"group": None})
    lone = rows[4].model_copy(update={"messages": unrelated(9)[8].messages})
    new, known = passages(*rows[:3], rows[4]), passages(rows[3], lone)
    assert len(find_clusters(new, known, 0.5)) == 4
    by_group = find_clusters(new, known, 0.5, by_group=True)
    assert [len(cluster.members) for cluster in by_group] == [2, 1, 1]
    assert [cluster.touches for cluster in by_group] == [(), (rows[3].id,), ()]


def test_thousands_of_copies_of_one_row_are_one_cluster() -> None:
    question = unrelated(1)[0].prompt
    rows = [example(question, f"Answer {number}.") for number in range(3_000)]
    assert len(find_clusters(passages(*rows), NOBODY, 0.5)) == 1


def test_rows_of_one_of_many_templates_are_no_copies() -> None:
    templates = [row.prompt for row in unrelated(4, words=18, seed=5)]
    rows = [
        example(f"{templates[number % 4]} {row.prompt}", row.answer)
        for number, row in enumerate(unrelated(80, words=16))
    ]
    assert len(find_clusters(passages(*rows), NOBODY, 0.5)) == 80
    half = find_clusters(passages(*rows[40:]), passages(*rows[:40]), 0.5)
    assert [(len(cluster.members), cluster.touches) for cluster in half] == [(1, ())] * 40


def test_a_question_embedded_in_many_texts_is_still_a_copy_of_each() -> None:
    question, *others = (row.prompt for row in unrelated(21, words=40))
    rows = [example(question), *(example(f"{text} {question} {text[::-1]}") for text in others)]
    assert len(find_clusters(passages(*rows), NOBODY, 0.9)) == 1
    (late,) = find_clusters(passages(rows[0]), passages(*rows[1:]), 0.9)
    assert len(late.touches) == 20
