"""Near-duplicate clusters."""

from ft_assets.sources.example import to_table
from ft_assets.splitting.clusters import find_clusters
from ft_assets.splitting.passages import Passage, read_passages
from ft_assets_tests.splitting.rows import changed, example, unrelated


def passages(*examples) -> list[Passage]:
    return read_passages(to_table(examples))


def test_unrelated_rows_are_clusters_of_one() -> None:
    clusters = find_clusters(passages(*unrelated(20)), [], 0.5)
    assert [len(cluster.members) for cluster in clusters] == [1] * 20
    assert not any(cluster.touches for cluster in clusters)


def test_cluster_is_named_by_its_earliest_member_whatever_the_order() -> None:
    question = unrelated(1)[0].prompt
    late, early = example(question, minute=9), example(changed(question, [3]), minute=2)
    for order in ((late, early), (early, late)):
        (cluster,) = find_clusters(passages(*order), [], 0.5)
        assert cluster.id == early.id
        assert [member.id for member in cluster.members] == [early.id, late.id]


def test_equal_instants_are_decided_by_id() -> None:
    question = unrelated(1)[0].prompt
    rows = [example(question), example(changed(question, [3]))]
    (cluster,) = find_clusters(passages(*rows), [], 0.5)
    assert cluster.id == min(row.id for row in rows)


def test_chain_of_copies_is_one_cluster_though_its_ends_differ() -> None:
    first = unrelated(1)[0].prompt
    second = changed(first, range(0, 5))
    third = changed(second, range(12, 17))
    fourth = changed(third, range(22, 27))
    clusters = find_clusters(passages(*map(example, (first, fourth, second, third))), [], 0.5)
    assert len(clusters) == 1


def test_same_question_with_another_answer_is_one_cluster() -> None:
    rows = passages(
        example("def f(x): return x", "Return x."), example("DEF f(x):  return x", "Echo the argument.")
    )
    assert len(find_clusters(rows, [], 0.99)) == 1


def test_question_embedded_in_a_longer_one_is_one_cluster() -> None:
    question, wrapping = (row.prompt for row in unrelated(2, words=60))
    longer = f"{wrapping} {question} {wrapping[::-1]}"
    assert len(find_clusters(passages(example(question), example(longer)), [], 0.9)) == 1


def test_shared_instruction_does_not_join_rows() -> None:
    instruction = "Write the one line docstring of this Python function in our house style today."
    rows = [example(f"{instruction}\n\n{row.prompt}", row.answer) for row in unrelated(40)]
    assert len(find_clusters(passages(*rows), [], 0.8)) == 40


def test_known_rows_are_named_but_do_not_join_new_clusters() -> None:
    halves = [row.prompt for row in unrelated(2)]
    known = passages(example(" ".join(halves)))
    clusters = find_clusters(passages(*map(example, halves)), known, 0.4)
    assert len(clusters) == 2
    assert [[touched.id for touched in cluster.touches] for cluster in clusters] == [[known[0].id]] * 2


def test_no_rows_make_no_clusters() -> None:
    assert find_clusters([], passages(example("a question")), 0.5) == []
