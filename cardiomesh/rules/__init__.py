"""Knowledge rules: published criteria on the measurements of a recording, in three-valued logic, with a trace.

The rules are data (``criteria/*.yaml``); ``schema`` is their form, ``book`` reads and checks them, ``evaluate`` runs
them, ``messages`` reads a recording's facts off the wire. What is said of the outcome is the explainer's.
"""

from cardiomesh.rules.book import RuleBook, RuleFileError, load_rules
from cardiomesh.rules.evaluate import Evaluation, evaluate
from cardiomesh.rules.facts import Facts
from cardiomesh.rules.logic import State
from cardiomesh.rules.messages import facts_of

__all__ = ["Evaluation", "Facts", "RuleBook", "RuleFileError", "State", "evaluate", "facts_of", "load_rules"]
