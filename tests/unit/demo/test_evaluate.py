"""How answers are scored: word for word, spaces and case aside."""

from __future__ import annotations

from demo.evaluate import messages, score, shared_prefix

ROWS = [
    {"instruction": "Name the topic.", "input": "my card is lost", "output": "card"},
    {"instruction": "Name the topic.", "input": "block my card", "output": "card"},
    {"instruction": "Name the topic.", "input": "what is the rate", "output": "loan"},
]
RIGHT = ["card", "card", "loan"]


def test_case_and_surrounding_space_do_not_count() -> None:
    """An answer that differs in case or in white space around it is right."""
    assert score(ROWS, [" Card\n", "CARD", "loan"], RIGHT)["accuracy"] == 1.0


def test_an_answer_that_only_contains_the_topic_is_wrong() -> None:
    """A sentence around the right topic is not the topic only."""
    assert score(ROWS, ["The topic is card.", "card", "loan"], RIGHT)["accuracy"] == round(2 / 3, 4)


def test_accuracy_is_given_per_topic_beside_the_majority_baseline() -> None:
    """Each topic's share counts its own rows; the baseline is the share of the commonest topic."""
    result = score(ROWS, ["card", "loan", "loan"], RIGHT)
    assert result["topics"] == {"card": 0.5, "loan": 1.0}
    assert result["majority"] == round(2 / 3, 4)


def test_examples_show_answers_as_they_came() -> None:
    """Examples are spread over the rows and keep the model's text unchanged."""
    shown = score(ROWS, [" Card", "x", "y"], RIGHT, examples=1)["examples"]
    assert shown == [{"input": "my card is lost", "expected": "card", "answer": " Card"}]


def test_instruction_and_message_are_joined_as_in_training() -> None:
    """LLaMA Factory joins the two with one line break in one user turn after its system message."""
    roles = [(message["role"], message["content"]) for message in messages(ROWS[0])]
    assert [role for role, _ in roles] == ["system", "user"]
    assert roles[1][1] == "Name the topic.\nmy card is lost"


def test_choices_are_scored_apart_from_answers() -> None:
    """A model that chats but finds the right topic likeliest has an accuracy of its own for that."""
    result = score(ROWS, ["I am sorry", "Hello", "Sure"], ["card", "loan", "loan"])
    assert (result["accuracy"], result["accuracy_choice"]) == (0.0, round(2 / 3, 4))


def test_the_shared_beginning_leaves_each_prompt_a_token() -> None:
    """Tokens common to all prompts are counted, and at least one token stays outside."""
    assert shared_prefix([[5, 6, 7, 8], [5, 6, 9]]) == 2
    assert shared_prefix([[5, 6], [5, 6, 7]]) == 1
    assert shared_prefix([[5, 6, 7]]) == 2
