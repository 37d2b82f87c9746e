"""Pure functions on predictions: how good they are, as a number with its interval."""

from tandem.metrics.agreement import kappa
from tandem.metrics.alpha import krippendorff
from tandem.metrics.answers import exact_match, score_answers, token_f1
from tandem.metrics.coverage import auc_over_coverage, roc_auc
from tandem.metrics.fever import score_claims
from tandem.metrics.letters import read_letter, score_letters
from tandem.metrics.normalise import answer_form, normalise_answer
from tandem.metrics.pass_at_k import mean_pass_at_k, pass_at_k
from tandem.metrics.rouge import rouge_lsum, rouge_scores
from tandem.metrics.translation import chrf, corpus_bleu, mean_sentence_bleu

__all__ = [
    "answer_form",
    "auc_over_coverage",
    "chrf",
    "corpus_bleu",
    "exact_match",
    "kappa",
    "krippendorff",
    "mean_pass_at_k",
    "mean_sentence_bleu",
    "normalise_answer",
    "pass_at_k",
    "read_letter",
    "roc_auc",
    "rouge_lsum",
    "rouge_scores",
    "score_answers",
    "score_claims",
    "score_letters",
    "token_f1",
]
