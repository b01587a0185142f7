"""Knowledge rules: published criteria on the measurements of a recording, in three-valued logic, with a trace.

The rules are data (``criteria/*.yaml``); ``schema`` is their form, ``book`` reads and checks them, ``evaluate`` runs
them, ``report`` words what came out, ``message`` carries it over the wire.
"""

from explainer.rules.book import RuleBook, RuleFileError, load_rules
from explainer.rules.evaluate import evaluate
from explainer.rules.facts import Facts
from explainer.rules.logic import State
from explainer.rules.message import rule_evaluation

__all__ = ["Facts", "RuleBook", "RuleFileError", "State", "evaluate", "load_rules", "rule_evaluation"]
