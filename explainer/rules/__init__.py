"""What the published criteria say of a recording beside the model's answer.

``cardiomesh.rules`` holds and evaluates them; ``agreement`` compares the outcome with the findings, ``report`` words
it, ``message`` carries it over the wire.
"""

from explainer.rules.message import rule_evaluation

__all__ = ["rule_evaluation"]
