"""The picture of an answer: the clinical 12-lead sheet, to scale, with what the model said and where it looked.

Needs matplotlib (extra ``plot``); knows nothing of gRPC or protobufs.
"""

from cardiomesh.report.content import (
    Attribution,
    Grade,
    Heading,
    LeadQuality,
    ModelLabel,
    Sheet,
    SheetDecision,
    SheetFinding,
    SheetQuality,
)
from cardiomesh.report.methods_content import Bar, BeatChange, ChangePanel, LimePanel, MethodsPanel, MovedRow
from cardiomesh.report.reasons_content import Asked, ReportRow, RulesPanel, RuleState, TracedRule
from cardiomesh.report.sheet import draw_sheet, save_sheet, sheet_bytes

__all__ = [
    "Asked",
    "Attribution",
    "Bar",
    "BeatChange",
    "ChangePanel",
    "Grade",
    "Heading",
    "LeadQuality",
    "LimePanel",
    "MethodsPanel",
    "ModelLabel",
    "MovedRow",
    "ReportRow",
    "RuleState",
    "RulesPanel",
    "Sheet",
    "SheetDecision",
    "SheetFinding",
    "SheetQuality",
    "TracedRule",
    "draw_sheet",
    "save_sheet",
    "sheet_bytes",
]
