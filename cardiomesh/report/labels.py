"""Every word the sheet itself prints, in English and Brazilian Portuguese."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from cardiomesh.language import LANGUAGES, Language

__all__ = ["Words"]

_WORDS: Final[Mapping[str, tuple[str, str]]] = {
    "title": ("12-lead ECG", "ECG de 12 derivações"),
    "age": ("{years} years", "{years} anos"),
    "age_89": ("89 years or older", "89 anos ou mais"),
    "female": ("female", "feminino"),
    "male": ("male", "masculino"),
    "model": ("Model {name}, version {version}", "Modelo {name}, versão {version}"),
    "preprocessing": ("preprocessing {version}", "pré-processamento {version}"),
    "cached": ("answer from cache", "resposta do cache"),
    "findings": ("Findings of the model", "Achados do modelo"),
    "bar_key": ("bar: probability · tick: threshold", "barra: probabilidade · traço: limiar"),
    "no_findings": ("No findings were given with this sheet.", "Nenhum achado foi informado com esta folha."),
    "none_present": ("No finding reached its threshold.", "Nenhum achado atingiu seu limiar."),
    "also_present": ("Also present: {items}", "Também presentes: {items}"),
    "below": (
        "{count} below threshold; nearest: {items}",
        "{count} abaixo do limiar; mais próximos: {items}",
    ),
    "of_threshold": ("{code} {value} (threshold {threshold})", "{code} {value} (limiar {threshold})"),
    "critical": ("CRITICAL", "CRÍTICO"),
    "urgent": ("URGENT", "URGENTE"),
    "over_read": ("HUMAN OVER-READ", "REVISÃO HUMANA"),
    "uncertain_key": ("?: uncertain", "?: incerto"),
    "shifted": ("Thresholds moved: {items}", "Limiares deslocados: {items}"),
    "quality": ("Signal quality", "Qualidade do sinal"),
    "grade": ("grade {grade}", "grau {grade}"),
    "grade_reject": ("unfit", "inadequado"),
    "score": ("score {score}", "escore {score}"),
    "all_leads_clean": ("All recorded leads clean", "Todas as derivações registradas limpas"),
    "not_graded": ("Not graded", "Não avaliada"),
    "not_recorded": ("not recorded", "não registrada"),
    "explanation": ("Where the model looked", "Onde o modelo olhou"),
    "weak": ("weak", "fraca"),
    "strong": ("strong", "forte"),
    "magnitude": (
        "Colour: influence for or against this finding, one scale for all leads; below {floor} of it nothing is drawn.",
        "Cor: influência a favor ou contra este achado, mesma escala em todas as derivações; "
        "abaixo de {floor} nada é desenhado.",
    ),
    "support": (
        "Colour: support for this finding, one scale for all leads; below {floor} of it nothing is drawn.",
        "Cor: apoio a este achado, mesma escala em todas as derivações; abaixo de {floor} nada é desenhado.",
    ),
    "shares": ("Largest shares: {items}", "Maiores parcelas: {items}"),
    "no_influence": ("No influence to draw.", "Nenhuma influência a desenhar."),
    "columns": ("4 columns of {seconds} s", "4 colunas de {seconds} s"),
    "rhythm": ("rhythm strip {lead}", "tira de ritmo {lead}"),
    "rhythm_short": ("rhythm", "ritmo"),
    "unfiltered": (
        "no display filter, median of each lead as baseline",
        "sem filtro de exibição, mediana de cada derivação como linha de base",
    ),
    "gain_reduced": ("GAIN REDUCED for large amplitudes", "GANHO REDUZIDO por grandes amplitudes"),
    "clipped": ("clipped: {leads}", "cortadas: {leads}"),
    "first_seconds": ("first {shown} s of {total} s shown", "primeiros {shown} s de {total} s mostrados"),
    "research": (
        "Research use only. Not cleared as a medical device; not for diagnosis without a physician's over-read.",
        "Somente para pesquisa. Não registrado como dispositivo médico; não usar para diagnóstico sem revisão médica.",
    ),
    "lime_title": ("What the model rests on: {finding}", "Em que o modelo se apoia: {finding}"),
    "lime_key": (
        "logit lost when an average heart's shape stands in this part of all beats",
        "logit perdido quando a forma de um coração médio está nesta parte de todos os batimentos",
    ),
    "speaks_for": ("speaks for", "a favor"),
    "speaks_against": ("speaks against", "contra"),
    "change_title": ("What would have to be different: {finding}", "O que teria de ser diferente: {finding}"),
    "change_key": (
        "typical beat, {speed} mm/s, {gain} mm/mV: recorded (black), changed (blue, broken)",
        "batimento típico, {speed} mm/s, {gain} mm/mV: registrado (preto), mudado (azul, tracejado)",
    ),
    "moved": ("Moved most: {items}", "Mais mudou: {items}"),
    "moved_nothing": ("No measurement moved by more than its tolerance.", "Nenhuma medida mudou além da tolerância."),
    "not_explained": ("Not explained", "Não explicado"),
    "rules_title": ("What the published criteria say", "O que dizem os critérios publicados"),
    "rules_on": ("Rules on {finding}", "Regras sobre {finding}"),
    "rules_more": ("{count} more", "mais {count}"),
    "rules_more_rules": ("{count} more rules", "mais {count} regras"),
    "no_rule": ("No rule speaks to this finding.", "Nenhuma regra se pronuncia sobre este achado."),
    "contradiction": ("DISAGREEMENT", "DISCORDÂNCIA"),
    "agreement_supports": ("rules and model agree", "regras e modelo concordam"),
    "agreement_contradicts": ("RULES AND MODEL DISAGREE", "REGRAS E MODELO DISCORDAM"),
    "agreement_silent": ("the rules are silent", "as regras não se pronunciam"),
    "state_met": ("met", "satisfeita"),
    "state_not_met": ("not met", "não satisfeita"),
    "state_not_evaluable": ("not evaluable", "não avaliável"),
    "print": ("To scale when printed at 100 % on A4", "Em escala quando impresso a 100 % em A4"),
}


class Words:
    """The words of one language, with its decimal mark."""

    def __init__(self, language: Language) -> None:
        self._column = LANGUAGES.index(language)
        self._comma = language == "pt"

    def __call__(self, key: str, **values: object) -> str:
        """One phrase, its places filled in."""
        return _WORDS[key][self._column].format(**values)

    def number(self, value: float, digits: int = 1) -> str:
        """A decimal number, without trailing zeros."""
        text = f"{value:.{digits}f}"
        text = text.rstrip("0").rstrip(".") if "." in text else text
        return text.replace(".", ",") if self._comma else text

    def fixed(self, value: float, digits: int) -> str:
        """A decimal number with all its digits, as in a column of figures."""
        text = f"{value:.{digits}f}"
        return text.replace(".", ",") if self._comma else text

    def percent(self, value: float) -> str:
        """A probability in whole per cent; never 0 % or 100 %, which no model can claim."""
        if value < 0.005:
            return "<1%"
        if value > 0.995:
            return ">99%"
        return f"{100 * value:.0f}%"
