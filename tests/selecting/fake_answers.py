"""A model that answers by a rule, and remembers what it was asked."""

from contextlib import nullcontext

from curate.errors import ModelError
from curate.models.protocols import Reply


class FakeAnswers:
    """Answers by a rule of the last message; `refuse me` has no place in its chat template."""

    name, batch_tokens, workers = "fake", 60, 2
    device, threads, recipe = "", 1, None

    def __init__(self, rule=lambda text: Reply("word"), mark="a"):
        self.rule, self.fingerprint, self.asked = rule, mark * 64, []

    def lengths(self, conversations):
        texts = [talk[-1]["content"] for talk in conversations]
        if "refuse me" in texts:
            raise ModelError("the chat template refuses these turns")
        return [len(text) for text in texts]

    def prepare(self):
        pass

    def worker(self):
        return nullcontext()

    def replies(self, conversations, max_new_tokens):
        self.asked += conversations
        return [self.rule(talk[-1]["content"]) for talk in conversations]
